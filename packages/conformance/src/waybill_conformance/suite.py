"""One run of the suite in one process: the harness, what its driver claims, and how a case is carried out."""

from __future__ import annotations

from typing import Any, Final

import pytest
from _pytest.outcomes import Skipped  # the one skip that pytest itself raises: its public name is no type

from .bench import Bench
from .case import Case
from .claims import Claims
from .harness import Harness, powers
from .pulse import IRREGULAR, Pulse
from .running import HangError, run

SUITE: Final = pytest.StashKey["Suite"]()
OPENING: Final = 180.0
"""Seconds in which a broker may be installed and started, and a first driver opened; times the patience."""


ATTEMPTS: Final = 3
"""How often a case is carried out at most that fails while the machine stands still."""


class NotConcernedError(Skipped):
    """The one allowed skip: the case does not concern this driver."""


TO_A_BROKER: Final = frozenset({"restart", "pause"})
"""The powers that everybody feels who uses the same broker."""


class Suite:
    """The harness, and the claims of the driver that it opens.

    Where other processes use its broker too, *own* is another one: for the cases that stop it, which alone start that.
    """

    def __init__(self, harness: Harness, own: Harness | None = None) -> None:
        self.harness, self._own = harness, own
        self._own_is_open = False
        self.claims = self._survey(harness, frozenset() if own is None else powers(own))

    def _survey(self, harness: Harness, more: frozenset[str] = frozenset()) -> Claims:
        return run(
            lambda: _survey(harness, more), seconds=OPENING * harness.patience, what="opening a driver", starts=True
        )

    def _harness_for(self, case: Case) -> Harness:
        if self._own is None or case.power not in TO_A_BROKER:
            return self.harness
        if not self._own_is_open:
            self._own_is_open = True
            self._survey(self._own)
        return self._own

    def run(self, case: Case, properties: list[tuple[str, Any]]) -> None:
        """Carry out a case, and append what the ledger needs to know to *properties*.

        One that fails while the machine or the broker stood still is carried out again, as its moments were not the
        driver's; the ledger tells.

        Raises:
            NotConcernedError: the driver does not claim what it is about.
            AssertionError: the sentence does not hold.
        """
        __tracebackhide__ = True
        record: dict[str, Any] = {"case": case.name, "claims": case.claims, "twin": case.twin, "levels": []}
        properties.append(("waybill", record))
        reason = case.why_not(self.claims)
        if reason is not None:
            record["reason"] = reason
            raise NotConcernedError(reason)
        for left in reversed(range(ATTEMPTS)):
            bench, pulse = Bench(self._harness_for(case), self.claims), Pulse()
            try:
                with pulse:
                    _prove(case, bench)
                return
            except HangError:
                raise
            except (Exception, pytest.fail.Exception):
                stood_still = max(pulse.stood_still, bench.late)
                if not left or bench.virtual or stood_still < IRREGULAR:
                    raise
                record["stood_still"] = max(stood_still, record.get("stood_still", 0.0))
            finally:
                record["levels"] = bench.levels

    def close(self) -> None:
        for harness in filter(None, (self.harness, self._own)):
            run(harness.close, seconds=OPENING * harness.patience, what="closing the harness")


def _prove(case: Case, bench: Bench) -> None:
    __tracebackhide__ = True
    run(lambda: _carry_out(case, bench), seconds=case.seconds, what=f"“{case.sentence}”")


async def _survey(harness: Harness, more: frozenset[str]) -> Claims:
    driver = await harness.open()
    try:
        return Claims.of(driver, powers(harness) | more)
    finally:
        await driver.close()


async def _carry_out(case: Case, bench: Bench) -> None:
    __tracebackhide__ = True
    async with bench.ready():
        await case.body(bench)
    if not bench.asked and case.claims != ("declaration",):
        raise AssertionError("the case has called no verb of the driver: whatever it proves, it is nothing")

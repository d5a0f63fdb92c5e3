"""One run of the suite in one process: the harness, what its driver claims, and how a case is carried out."""

from __future__ import annotations

from typing import Any, Final

import pytest
from _pytest.outcomes import Skipped  # the one skip that pytest itself raises: its public name is no type

from .bench import Bench
from .case import Case
from .claims import Claims
from .harness import Harness, powers
from .running import run

SUITE: Final = pytest.StashKey["Suite"]()
OPENING: Final = 180.0
"""Seconds in which a broker may be installed and started, and a first driver opened; times the patience."""


class NotConcernedError(Skipped):
    """The one allowed skip: the case does not concern this driver."""


class Suite:
    """The harness, and the claims of the driver that it opens."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.claims = run(
            lambda: _survey(harness), seconds=OPENING * harness.patience, what="opening a driver", starts=True
        )

    def run(self, case: Case, properties: list[tuple[str, Any]]) -> None:
        """Carry out a case, and append what the ledger needs to know to *properties*.

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
        bench = Bench(self.harness, self.claims)
        try:
            run(lambda: _carry_out(case, bench), seconds=case.seconds, what=f"“{case.sentence}”")
        finally:
            record["levels"] = bench.levels

    def close(self) -> None:
        run(self.harness.close, seconds=OPENING * self.harness.patience, what="closing the harness")


async def _survey(harness: Harness) -> Claims:
    driver = await harness.open()
    try:
        return Claims.of(driver, powers(harness))
    finally:
        await driver.close()


async def _carry_out(case: Case, bench: Bench) -> None:
    __tracebackhide__ = True
    async with bench.ready():
        await case.body(bench)
    if not bench.asked and case.claims != ("declaration",):
        raise AssertionError("the case has called no verb of the driver: whatever it proves, it is nothing")

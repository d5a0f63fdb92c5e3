"""A driver under observation: every call in every case is held to the rules that hold always.

A verb returns what the protocol says, raises nothing but the contract's errors, ends in time, and leaves the
capabilities as they were. The cases so need to check none of that, and a lie about it falls wherever it is told.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from waybill.driver import OPTIONAL, Capabilities, Clones, Delivery, QueueDriver
from waybill.errors import WaybillError

from .rules import BrokenRuleError, Call

SIX: Final = ("enqueue", "enqueue_in", "enqueue_at", "receive", "ack", "nack")
DEADLINE: Final = 12.0
"""Seconds for any verb: the default `timeout=` of 10, and some for a busy machine."""


def verbs_in(protocol: type[Any]) -> tuple[str, ...]:
    """The verbs that an optional protocol asks for."""
    return tuple(name for name in vars(protocol) if not name.startswith("_") and callable(vars(protocol)[name]))


def verbs_of(driver: object) -> tuple[str, ...]:
    """The asynchronous verbs of the protocol that a driver has."""
    optional = (verb for protocol in OPTIONAL for verb in verbs_in(protocol))
    return (*SIX, *(verb for verb in optional if verb != "clone" and callable(getattr(driver, verb, None))))


class Witness:
    """What was seen of one driver; `driver` is the driver as a case uses it."""

    def __init__(self, driver: QueueDriver) -> None:
        self.plain = driver
        self.capabilities: Capabilities = driver.capabilities
        self.calls: list[str] = []
        self.handed: list[Delivery] = []
        members: dict[str, Any] = {verb: staticmethod(self._watch(verb)) for verb in verbs_of(driver)}
        members |= {"open": staticmethod(driver.open), "close": staticmethod(driver.close)}
        members["capabilities"] = property(lambda _: driver.capabilities)
        members["__repr__"] = lambda _: repr(driver)
        if isinstance(driver, Clones):
            members["clone"] = staticmethod(driver.clone)
        # A class of its own, as runtime protocols look for methods there.
        self.driver: Any = type(f"Witnessed{type(driver).__name__}", (), members)()

    def _watch(self, verb: str) -> Callable[..., Awaitable[Any]]:
        call = getattr(self.plain, verb)

        @functools.wraps(call)
        async def watched(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(verb)
            start = time.monotonic()
            try:
                made = call(*args, **kwargs)
                if not isinstance(made, Awaitable):
                    raise BrokenRuleError(f"{verb} is not `async def`: it returned {made!r}")
                result = await made
            except (WaybillError, asyncio.CancelledError, BrokenRuleError):
                raise
            except Exception as error:
                raise BrokenRuleError(
                    f"{verb} raised {type(error).__module__}.{type(error).__qualname__}: {error}. A driver raises the "
                    "errors of waybill.errors alone; its client library's are their __cause__."
                ) from error
            finally:
                self._see_claims_unchanged(verb)
            self._see_end_in_time(verb, time.monotonic() - start, kwargs)
            seen = Call(verb, result, args, kwargs, self.capabilities)
            self.handed += seen.deliveries()
            seen.check()
            return result

        return watched

    def _see_claims_unchanged(self, verb: str) -> None:
        if self.plain.capabilities != self.capabilities:
            raise BrokenRuleError(f"the capabilities changed during {verb}, while the driver was open")

    def _see_end_in_time(self, verb: str, took: float, kwargs: dict[str, Any]) -> None:
        limit = DEADLINE + kwargs.get("wait", timedelta()).total_seconds()
        if took > limit:
            raise BrokenRuleError(f"{verb} took {took:.1f} seconds; every verb ends within its timeout ({limit:.0f})")

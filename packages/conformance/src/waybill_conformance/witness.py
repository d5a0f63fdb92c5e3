"""A driver under observation: every call in every case is held to the rules that hold always.

A verb returns what the protocol says, raises nothing but the contract's errors, ends in time, and leaves the
capabilities as they were. The cases so need to check none of that, and a lie about it falls wherever it is told.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from waybill.driver import (
    OPTIONAL,
    Capabilities,
    DeadLetter,
    DeadReason,
    DelayedMessage,
    Delivery,
    Message,
    Note,
    Page,
    QueueDriver,
    QueueStats,
    StateEntry,
    StateValue,
)
from waybill.errors import WaybillError

SIX: Final = ("enqueue", "enqueue_in", "enqueue_at", "receive", "ack", "nack")
DEADLINE: Final = 12.0
"""Seconds for any verb: the default `timeout=` of 10, and some for a busy machine."""


class BrokenRuleError(AssertionError):
    """A verb did what no verb may do."""


def verbs_of(driver: object) -> tuple[str, ...]:
    """The asynchronous verbs of the protocol that a driver has."""
    return (*SIX, *(verb for protocol in OPTIONAL for verb in verbs_in(protocol) if hasattr(driver, verb) and verb != "clone"))


def verbs_in(protocol: type[Any]) -> tuple[str, ...]:
    """The verbs that an optional protocol asks for."""
    return tuple(name for name in vars(protocol) if not name.startswith("_") and callable(vars(protocol)[name]))


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
        if hasattr(driver, "clone"):
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
                self._still_the_same(verb)
            self._in_time(verb, time.monotonic() - start, kwargs)
            _RULES[verb](self, verb, result, args, kwargs)
            return result

        return watched

    def _still_the_same(self, verb: str) -> None:
        now = self.plain.capabilities
        if now != self.capabilities:
            raise BrokenRuleError(f"the capabilities changed during {verb}, while the driver was open")

    def _in_time(self, verb: str, took: float, kwargs: dict[str, Any]) -> None:
        limit = DEADLINE + kwargs.get("wait", timedelta()).total_seconds()
        if took > limit:
            raise BrokenRuleError(f"{verb} took {took:.1f} seconds; every verb ends within its timeout ({limit:.0f})")

    # -- what each verb may return -----------------------------------------------------------------------

    def _id(self, verb: str, result: object, args: Any, kwargs: Any) -> None:
        if not isinstance(result, str) or not result:
            raise BrokenRuleError(f"{verb} returned {result!r}, and not the broker's id of the message")

    def _ids(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        self._each(verb, result, args, (str, WaybillError))

    def _none(self, verb: str, result: object, args: Any, kwargs: Any) -> None:
        if result is not None:
            raise BrokenRuleError(f"{verb} returned {result!r}, and not None")

    def _nones(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        self._each(verb, result, args, (type(None), WaybillError))

    def _extended(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        self._same_delivery(verb, result, args[0])
        self.handed.append(result)

    def _all_extended(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        self._each(verb, result, args, (Delivery, WaybillError))
        for before, after in zip(args[0], result, strict=True):
            if isinstance(after, Delivery):
                self._same_delivery(verb, after, before)
                self.handed.append(after)

    def _received(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        queues = [args[0]] if verb == "receive" else list(args[0])
        if not isinstance(result, Sequence) or not all(isinstance(each, Delivery) for each in result):
            raise BrokenRuleError(f"{verb} returned {result!r}, and not a sequence of deliveries")
        self.handed += result
        if len(result) > kwargs["limit"]:
            raise BrokenRuleError(f"{verb} returned {len(result)} deliveries, and was asked for {kwargs['limit']}")
        for each in result:
            if each.message.queue not in queues:
                raise BrokenRuleError(f"{verb} on {queues} returned a message of {each.message.queue!r}")
            self._well_formed(verb, each)

    def _well_formed(self, verb: str, delivery: Delivery) -> None:
        message = delivery.message
        if not isinstance(message, Message) or not isinstance(message.body, bytes) or not isinstance(message.id, str):
            raise BrokenRuleError(f"{verb} returned a delivery whose message is {message!r}")
        if not isinstance(delivery.attempt, int) or delivery.attempt < 1:
            raise BrokenRuleError(f"{verb}: attempt {delivery.attempt!r}; the first one is 1")
        lease, until = self.capabilities.lease, delivery.leased_until
        if lease is None and until is not None:
            raise BrokenRuleError(f"{verb}: leased until {until}, and the claimed lease is the connection's")
        if lease is not None and (until is None or until.utcoffset() != timedelta()):
            raise BrokenRuleError(f"{verb}: leased until {until!r}, and not until an aware moment in UTC")

    def _same_delivery(self, verb: str, after: Any, before: Delivery) -> None:
        if not isinstance(after, Delivery) or (after.message, after.attempt) != (before.message, before.attempt):
            raise BrokenRuleError(f"{verb} returned {after!r}, and not the same delivery with a new lease")
        self._well_formed(verb, after)

    def _each(self, verb: str, result: Any, args: Any, kinds: tuple[type, ...]) -> None:
        if not isinstance(result, Sequence) or len(result) != len(args[0]):
            raise BrokenRuleError(f"{verb} of {len(args[0])} returned {result!r}, and not one outcome for each")
        for outcome in result:
            if not isinstance(outcome, kinds):
                raise BrokenRuleError(f"{verb}: {outcome!r} is no outcome")

    def _count(self, verb: str, result: object, args: Any, kwargs: Any) -> None:
        if type(result) is not int or result < 0:
            raise BrokenRuleError(f"{verb} returned {result!r}, and not a number of messages")

    def _count_or_none(self, verb: str, result: object, args: Any, kwargs: Any) -> None:
        if result is not None:
            self._count(verb, result, args, kwargs)

    def _dead(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        self._page(verb, result, kwargs, DeadLetter)
        for letter in result.entries:
            reason = letter.reason
            if not isinstance(reason, DeadReason) or not _aware(reason.at) or not isinstance(letter.message, Message):
                raise BrokenRuleError(f"{verb}: {letter!r} is no dead letter with a reason")

    def _delayed(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        self._page(verb, result, kwargs, DelayedMessage)
        for entry in result.entries:
            if not _aware(entry.due) or not isinstance(entry.message, Message):
                raise BrokenRuleError(f"{verb}: {entry!r} is no message with an aware time")

    def _entries(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        self._page(verb, result, kwargs, StateEntry)

    def _page(self, verb: str, result: Any, kwargs: Any, kind: type) -> None:
        if not isinstance(result, Page) or not all(isinstance(each, kind) for each in result.entries):
            raise BrokenRuleError(f"{verb} returned {result!r}, and not a Page of {kind.__name__}")
        if len(result.entries) > kwargs.get("limit", 100):
            raise BrokenRuleError(f"{verb} returned {len(result.entries)} entries; limit {kwargs.get('limit', 100)}")
        if result.next is not None and not isinstance(result.next, str):
            raise BrokenRuleError(f"{verb}: `next` is {result.next!r}, and neither text nor None")

    def _stats(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        if not isinstance(result, QueueStats):
            raise BrokenRuleError(f"{verb} returned {result!r}, and not QueueStats")
        for number in (result.ready, result.delayed, result.leased, result.dead):
            self._count_or_none(verb, number, args, kwargs)

    def _names(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        if not isinstance(result, Sequence) or isinstance(result, str) or not all(isinstance(each, str) for each in result):
            raise BrokenRuleError(f"{verb} returned {result!r}, and not the names of queues")

    def _bool(self, verb: str, result: object, args: Any, kwargs: Any) -> None:
        if not isinstance(result, bool):
            raise BrokenRuleError(f"{verb} returned {result!r}, and neither True nor False")

    def _value(self, verb: str, result: object, args: Any, kwargs: Any) -> None:
        if result is not None and not (isinstance(result, StateValue) and isinstance(result.value, bytes)):
            raise BrokenRuleError(f"{verb} returned {result!r}, and neither a StateValue nor None")

    def _version(self, verb: str, result: object, args: Any, kwargs: Any) -> None:
        if result is not None and type(result) is not int:
            raise BrokenRuleError(f"{verb} returned {result!r}, and neither a version nor None")

    def _notes(self, verb: str, result: Any, args: Any, kwargs: Any) -> None:
        if not isinstance(result, Sequence) or not all(isinstance(each, Note) and each.fact for each in result):
            raise BrokenRuleError(f"{verb} returned {result!r}, and not notes with a fact each")


def _aware(moment: object) -> bool:
    return isinstance(moment, datetime) and moment.utcoffset() == datetime.now(UTC).utcoffset()


_RULES: Final[dict[str, Callable[..., None]]] = {
    "enqueue": Witness._id,
    "enqueue_in": Witness._id,
    "enqueue_at": Witness._id,
    "enqueue_batch": Witness._ids,
    "receive": Witness._received,
    "receive_many": Witness._received,
    "ack": Witness._none,
    "nack": Witness._none,
    "release": Witness._none,
    "bury": Witness._none,
    "ack_batch": Witness._nones,
    "nack_batch": Witness._nones,
    "extend": Witness._extended,
    "extend_batch": Witness._all_extended,
    "list_dead": Witness._dead,
    "retry_dead": Witness._count,
    "purge_dead": Witness._count_or_none,
    "stats": Witness._stats,
    "queues": Witness._names,
    "list_delayed": Witness._delayed,
    "purge": Witness._count_or_none,
    "cancel": Witness._bool,
    "state_get": Witness._value,
    "state_put": Witness._version,
    "state_delete": Witness._bool,
    "state_list": Witness._entries,
    "diagnose": Witness._notes,
}

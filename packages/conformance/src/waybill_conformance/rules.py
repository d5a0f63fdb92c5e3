"""What each verb may return; one function per shape, and a table from verbs to shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from waybill.driver import (
    Capabilities,
    DeadLetter,
    DeadReason,
    DelayedMessage,
    Delivery,
    Message,
    Note,
    Page,
    QueueStats,
    StateEntry,
    StateValue,
)
from waybill.errors import WaybillError


class BrokenRuleError(AssertionError):
    """A verb did what no verb may do."""


@dataclass(frozen=True)
class Call:
    """One call of a verb, and what it returned."""

    verb: str
    result: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    able: Capabilities

    def check(self) -> None:
        """Hold the result against the protocol.

        Raises:
            BrokenRuleError: it is something else.
        """
        RULES[self.verb](self)

    def wrong(self, wanted: str) -> BrokenRuleError:
        return BrokenRuleError(f"{self.verb} returned {self.result!r}, and not {wanted}")

    def is_sequence_of(self, *kinds: type) -> bool:
        is_sequence = isinstance(self.result, Sequence) and not isinstance(self.result, str)
        return is_sequence and all(isinstance(each, kinds) for each in self.result)

    def deliveries(self) -> list[Delivery]:
        """Those among the results."""
        results = self.result if isinstance(self.result, list | tuple) else [self.result]
        return [each for each in results if isinstance(each, Delivery)]


def an_id(call: Call) -> None:
    if not isinstance(call.result, str) or not call.result:
        raise call.wrong("the broker's id of the message")


def nothing(call: Call) -> None:
    if call.result is not None:
        raise call.wrong("None")


def outcomes(*kinds: type) -> Callable[[Call], None]:
    """One for each item of the batch, each of these kinds or an error."""

    def check(call: Call) -> None:
        items = call.args[0]
        if not call.is_sequence_of(*kinds, WaybillError) or len(call.result) != len(items):
            raise call.wrong(f"one outcome for each of {len(items)}")
        for before, after in zip(items, call.result, strict=True):
            if isinstance(after, Delivery):
                same_delivery(call, after, before)

    return check


def deliveries(call: Call) -> None:
    queues = [call.args[0]] if call.verb == "receive" else list(call.args[0])
    if not call.is_sequence_of(Delivery) or len(call.result) > call.kwargs["limit"]:
        raise call.wrong(f"a sequence of up to {call.kwargs['limit']} deliveries")
    for each in call.result:
        well_formed(call, each)
        if each.message.queue not in queues:
            raise call.wrong(f"messages of {queues}")


def well_formed(call: Call, delivery: Delivery) -> None:
    message = delivery.message
    if type(message) is not Message or type(message.body) is not bytes or type(message.id) is not str:
        raise BrokenRuleError(f"{call.verb} returned a delivery whose message is {message!r}")
    if type(delivery.attempt) is not int or delivery.attempt < 1:
        raise BrokenRuleError(f"{call.verb}: attempt {delivery.attempt!r}; the first one is 1")
    if call.able.lease is None:
        if delivery.leased_until is not None:
            raise BrokenRuleError(f"{call.verb}: leased until {delivery.leased_until}; the lease is the connection's")
    elif not is_utc(delivery.leased_until):
        raise BrokenRuleError(f"{call.verb}: leased until {delivery.leased_until!r}, and not until a moment in UTC")


def same_delivery(call: Call, after: Delivery, before: Delivery) -> None:
    if (after.message, after.attempt) != (before.message, before.attempt):
        raise BrokenRuleError(f"{call.verb} returned {after!r}, and not the same delivery with a new lease")
    well_formed(call, after)


def extended(call: Call) -> None:
    if not isinstance(call.result, Delivery):
        raise call.wrong("a delivery")
    same_delivery(call, call.result, call.args[0])


def a_count(call: Call) -> None:
    if type(call.result) is not int or call.result < 0:
        raise call.wrong("a number of messages")


def a_count_or_none(call: Call) -> None:
    if call.result is not None:
        a_count(call)


def page_of(kind: type, is_sound: Callable[[Any], bool]) -> Callable[[Call], None]:
    """A page of such entries, each of them sound."""

    def check(call: Call) -> None:
        page, limit = call.result, call.kwargs.get("limit", 100)
        if not isinstance(page, Page) or len(page.entries) > limit:
            raise call.wrong(f"a Page of up to {limit} entries")
        if not all(isinstance(each, kind) and is_sound(each) for each in page.entries):
            raise call.wrong(f"a Page of sound {kind.__name__}s")
        if page.next is not None and not isinstance(page.next, str):
            raise call.wrong("a Page whose `next` is text or None")

    return check


def counts(call: Call) -> None:
    if not isinstance(call.result, QueueStats):
        raise call.wrong("QueueStats")
    for number in (call.result.ready, call.result.delayed, call.result.leased, call.result.dead):
        if number is not None and (type(number) is not int or number < 0):
            raise call.wrong("QueueStats of numbers")


def names(call: Call) -> None:
    if not call.is_sequence_of(str):
        raise call.wrong("the names of queues")


def yes_or_no(call: Call) -> None:
    if not isinstance(call.result, bool):
        raise call.wrong("True or False")


def a_value_or_none(call: Call) -> None:
    value = call.result
    if value is not None and not (isinstance(value, StateValue) and isinstance(value.value, bytes)):
        raise call.wrong("a StateValue or None")


def a_version_or_none(call: Call) -> None:
    if call.result is not None and type(call.result) is not int:
        raise call.wrong("a version or None")


def notes(call: Call) -> None:
    if not call.is_sequence_of(Note) or not all(each.fact for each in call.result):
        raise call.wrong("notes with a fact each")


def is_utc(moment: object) -> bool:
    return isinstance(moment, datetime) and moment.utcoffset() == timedelta()


def is_dead_letter(entry: Any) -> bool:
    return isinstance(entry.message, Message) and isinstance(entry.reason, DeadReason) and is_utc(entry.reason.at)


def is_delayed(entry: Any) -> bool:
    return isinstance(entry.message, Message) and is_utc(entry.due)


def is_state(entry: Any) -> bool:
    return isinstance(entry.key, str) and isinstance(entry.value, bytes) and type(entry.version) is int


RULES: Final[dict[str, Callable[[Call], None]]] = {
    "enqueue": an_id,
    "enqueue_in": an_id,
    "enqueue_at": an_id,
    "enqueue_batch": outcomes(str),
    "receive": deliveries,
    "receive_many": deliveries,
    "ack": nothing,
    "nack": nothing,
    "release": nothing,
    "bury": nothing,
    "ack_batch": outcomes(type(None)),
    "nack_batch": outcomes(type(None)),
    "extend": extended,
    "extend_batch": outcomes(Delivery),
    "list_dead": page_of(DeadLetter, is_dead_letter),
    "retry_dead": a_count,
    "purge_dead": a_count_or_none,
    "stats": counts,
    "queues": names,
    "list_delayed": page_of(DelayedMessage, is_delayed),
    "purge": a_count_or_none,
    "cancel": yes_or_no,
    "state_get": a_value_or_none,
    "state_put": a_version_or_none,
    "state_delete": yes_or_no,
    "state_list": page_of(StateEntry, is_state),
    "diagnose": notes,
}

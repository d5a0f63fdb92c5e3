"""Storing letters: the queue is there, or made; all are sent together; of each it is known what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from waybill.driver import Due
from waybill.envelope import Message
from waybill.errors import DeadReason, WaybillError
from waybill.timing import ZERO

from .delays import way
from .failures import EXPECTED, RefusedError, UnroutableError, is_missing
from .names import Names
from .publisher import Parcel
from .records import to_dead_letter, to_letter
from .server import Server

_ELECTION: Final = 0.3  # seconds


class Order(NamedTuple):
    """A parcel, and what has to be there for it."""

    queue: str
    delayed: bool
    parcel: Parcel


def order(
    names: Names, message: Message, delay: timedelta = ZERO, *, attempts: int = 0, due: datetime | None = None
) -> Order:
    """A message for its queue."""
    exchange, key, rest = way(names, message.queue, delay)
    letter = to_letter(message, attempts=attempts, rest=rest, due=due)
    return Order(message.queue, delay > ZERO, Parcel(exchange, key, letter))


def order_for(names: Names, message: Message, due: Due, now: datetime) -> Order:
    """A message for its queue, when it is due; a moment travels along, in case that it arrives early."""
    if isinstance(due, datetime):
        return order(names, message, due - now, due=due if due > now else None)
    return order(names, message, due or ZERO)


def dead_order(names: Names, message: Message, reason: DeadReason, to: str) -> Order:
    """A message for the dead letters of a queue."""
    return Order(to, False, Parcel("", names.dead(to), to_dead_letter(message, reason)))


async def store(server: Server, orders: Sequence[Order], end: float | None = None) -> list[Exception | None]:
    """What became of each, None being well: a foreign error, or Waybill's."""
    end = server.deadline() if end is None else end
    outcomes = await _send(server, orders, end)
    again = [number for number, outcome in enumerate(outcomes) if _may_be_sent_again(server, outcome)]
    if again:
        for number in again:
            server.forget(orders[number].queue)
        if any(isinstance(outcomes[number], RefusedError) for number in again):
            await asyncio.sleep(_ELECTION)
        for number, outcome in zip(again, await _send(server, [orders[each] for each in again], end), strict=True):
            outcomes[number] = outcome
    return outcomes


async def store_one(server: Server, one: Order) -> None:
    """Store it.

    Raises:
        What `store` tells.
    """
    [outcome] = await store(server, [one])
    if outcome is not None:
        raise outcome


async def _send(server: Server, orders: Sequence[Order], end: float) -> list[Exception | None]:
    refused: dict[tuple[str, bool], Exception] = {}
    for place in {(each.queue, each.delayed) for each in orders}:
        try:
            await server.prepare(place[0], end, delayed=place[1])
        except (*EXPECTED, WaybillError) as error:
            refused[place] = _unsent(error)
    sent = [each for each in orders if (each.queue, each.delayed) not in refused]
    told: Sequence[Exception | None]
    try:
        told = await server.publish([each.parcel for each in sent], end) if sent else ()
    except (*EXPECTED, WaybillError) as error:
        told = [error] * len(sent)
    answers = iter(told)
    return [refused.get((each.queue, each.delayed)) or next(answers) for each in orders]


def _unsent(error: Any) -> Exception:
    """The error of a preparation: whatever was sent for it, no message was."""
    if hasattr(error, "sent"):
        error.sent = False
    failed: Exception = error
    return failed


def _may_be_sent_again(server: Server, outcome: Exception | None) -> bool:
    """Whether it is certain that nothing was stored, and likely that it is now.

    A queue that was deleted since it was made is made anew; one that elects its leader, as a new one does, has refused.
    """
    if outcome is None or getattr(outcome, "sent", False):
        return False
    if isinstance(outcome, RefusedError):
        return True
    return server.options.declare == "create" and (isinstance(outcome, UnroutableError) or is_missing(outcome))

"""Leasing what is ready."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from secrets import randbits
from typing import Any, Final, NamedTuple

from waybill.driver import Delivery, Message

from . import rows
from .sql import statements
from .store import BEHIND, Store, moment

SQL: Final = statements("receive")
AT_ONCE: Final = 500
"""How many are brought forward in one transaction."""
_by_rank_and_age: Final = itemgetter(0, 1)


class Taken(NamedTuple):
    """What was leased, and if nothing was: when to look again at the latest."""

    deliveries: list[Delivery]
    next_change: int | None = None


def receive(store: Store, queues: Sequence[str], limit: int) -> Taken:
    """Lease up to *limit* jobs, the first queues' first, by priority and age."""
    now = store.now()
    until, token = now + store.lease, randbits(62)
    deliveries: list[Delivery] = []
    for queue in queues:
        number = store.number(queue)
        if number is not None and len(deliveries) < limit:
            bring_forward(store, number, now, max(limit, AT_ONCE))
            found = store.execute(SQL.take, (until, token, number, limit - len(deliveries))).fetchall()
            found.sort(key=_by_rank_and_age)  # RETURNING has no order
            leased_until = moment(until)
            for row in found:
                _, seq, attempt, *columns = row
                message = _begun(store, queue, number, seq, columns)
                deliveries.append(Delivery(message, attempt, (seq, token), leased_until))
    if deliveries:
        return Taken(deliveries)
    changes = (store.execute(SQL.next_change, (store.number(queue),)).fetchone()[0] for queue in queues)
    return Taken([], min((at for at in changes if at is not None), default=None))


def bring_forward(store: Store, number: int, now: int, limit: int) -> None:
    """Make ready what has come due, and take back what was leased too long."""
    if store.execute(SQL.has_come_due, (number, now)).fetchone() is None:
        return
    moved = store.execute(SQL.bring_forward, (number, now, limit)).fetchall()
    behind = sorted((at, seq, group) for state, at, seq, group in moved if state == BEHIND)
    for group, seq in {group: seq for _, seq, group in reversed(behind)}.items():  # the first to be due of each
        store.execute(SQL.step_forward, {"seq": seq, "queue": number, "grp": group})


def promote(store: Store, queue: str, number: int, groups: Iterable[str | None]) -> None:
    """Let the next of each group come forward, if nobody is at its head."""
    for group in groups:
        first = None if group is None else store.execute(SQL.first_behind, (number, group)).fetchone()
        if first and store.execute(SQL.step_forward, {"seq": first[0], "queue": number, "grp": group}).rowcount:
            store.changed.add(queue)


def _begun(store: Store, queue: str, number: int, seq: int, columns: list[Any]) -> Message:
    """The message of a row that was just leased; a key held until the start is free from now on."""
    if columns[-1] is None:
        (columns[-1],) = store.execute(SQL.large_body, (seq,)).fetchone()
    message = rows.message(queue, columns)
    if message.unique is not None and message.unique.until == "start":
        store.execute(SQL.free_key, (number, message.unique.key, message.id))
    return message

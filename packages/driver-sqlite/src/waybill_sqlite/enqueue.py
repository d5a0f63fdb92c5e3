"""Storing messages: the plain ones many at a time, those with a key, a group or a large body singly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final

from waybill.driver import Due
from waybill.envelope import Message, UniqueKey
from waybill.errors import DuplicateJobError, WaybillError

from .rows import columns, window
from .sql import statements
from .store import BEHIND, DELAYED, LAST, READY, Store, micros, micros_at

SQL: Final = statements("enqueue")
SMALL: Final = 2048
"""The largest body, in bytes, that is kept in its job's row."""
MANY: Final = 100
"""The most plain messages in one statement."""
_ROW: Final = "(VALUES (?, ?, ?)"


def enqueue(store: Store, items: Sequence[tuple[Message, Due]]) -> list[str | WaybillError]:
    """Store each message unless its id is stored already; its id, or that its key is taken."""
    now = store.now()
    outcomes: list[str | WaybillError] = [message.id for message, _ in items]
    alike: list[Any] = []  # id, rank and body of plain messages that have their queue and time in common
    queue, at = "", 0
    for index, (message, due) in enumerate(items):
        its_at = 0 if due is None else due_at(due, now)
        plain = message.unique is None and message.group is None and len(message.body) <= SMALL and not message.headers
        if not plain or at != its_at or queue != message.queue:
            _insert_alike(store, queue, at, alike)  # the order of the input is the order of the queue
            queue, at = message.queue, its_at
            store.changed.add(queue)
        if plain:
            alike += message.id, -message.priority, message.body
            continue
        try:
            put(store, store.number_for(queue), message, at, now)
        except DuplicateJobError as error:
            outcomes[index] = error
    _insert_alike(store, queue, at, alike)
    return outcomes


def due_at(due: Due, now: int) -> int:
    """When a message may start; 0: now."""
    if due is None:
        return 0
    at = now + micros(due) if isinstance(due, timedelta) else micros_at(due)
    return min(at, LAST) if at > now else 0


def put(store: Store, queue: int, message: Message, at: int, now: int) -> None:
    """Store one message of any kind, unless its id is stored already.

    Raises:
        DuplicateJobError: its key is taken; nothing is stored.
    """
    if store.execute(SQL.is_stored, (queue, message.id)).fetchone():
        return
    if message.unique is not None and not claim(store, queue, message.id, message.unique, now):
        (holder,) = store.execute(SQL.holder, (queue, message.unique.key)).fetchone()
        raise DuplicateJobError(message.unique.key, holder)
    _insert(store, queue, message, at)


def restore(store: Store, queue: int, message: Message, now: int) -> None:
    """Store one that was given up; it takes its key again only if that is free."""
    if store.execute(SQL.is_stored, (queue, message.id)).fetchone():
        return
    if message.unique is not None:
        claim(store, queue, message.id, message.unique, now)
    _insert(store, queue, message, 0)


def claim(store: Store, queue: int, holder: str, unique: UniqueKey, now: int) -> bool:
    """Take a unique key; False: another id has it."""
    # A few at a time, so that keys held for a window do not pile up.
    store.execute_many(SQL.forget_key, store.execute(SQL.ended_keys, (now,)).fetchall())
    span = window(unique)
    ends = None if span is None else min(now + span, LAST)
    claimed = {"queue": queue, "key": unique.key, "holder": holder, "until": unique.until, "ends": ends, "now": now}
    return store.execute(SQL.claim_key, claimed).rowcount > 0


def _insert(store: Store, queue: int, message: Message, at: int) -> None:
    state = DELAYED if at else READY
    if message.group is not None and not at and store.execute(SQL.group_has_head, (queue, message.group)).fetchone():
        state = BEHIND
    *others, body = columns(message)
    large = len(body) > SMALL
    seq = store.execute(SQL.insert, (queue, state, at, *others, None if large else body)).lastrowid
    if large:
        store.execute(SQL.insert_large_body, (seq, body))


def _insert_alike(store: Store, queue: str, at: int, rows: list[Any]) -> None:
    """Store plain messages of one queue and time, many at once: half the work of one after the other."""
    for begin in range(0, len(rows), 3 * MANY):
        some = rows[begin : begin + 3 * MANY]
        common = store.number_for(queue), at, DELAYED if at else READY
        store.execute(_statement(len(some) // 3), (*common, *some))
    rows.clear()


@cache
def _statement(rows: int) -> str:
    return str(SQL.insert_alike).replace(_ROW, _ROW + ", (?, ?, ?)" * (rows - 1))

"""Dead letters: reading them, sending them back, and throwing them away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from waybill.driver import DeadLetter, Page
from waybill.errors import DeadReason

from . import enqueue, rows
from .sql import statements
from .store import Store, moment

SQL: Final = statements("dead")


def list_dead(store: Store, queue: str, after: str | None, limit: int) -> Page[DeadLetter]:
    """A page of them, the oldest first."""
    found = store.execute(SQL.page, (store.number(queue), int(after or 0), limit + 1)).fetchall()
    letters = [
        DeadLetter(rows.message(source, columns), DeadReason(code, error, attempt, moment(at)))
        for _, source, code, error, attempt, at, *columns in found[:limit]
    ]
    return Page(letters, str(found[limit - 1][0]) if len(found) > limit else None)


def last_dead(store: Store, queue: str) -> int:
    """The newest one there is now: what comes later is left alone."""
    row = store.execute(SQL.last, (store.number(queue),)).fetchone()
    return row[0] or 0


def retry_dead(store: Store, queue: str, last: int, ids: Sequence[str] | None, limit: int) -> int:
    """Send some back to where they came from, as if they were new; a key is taken again if it is free."""
    now = store.now()
    chosen = {
        "queue": store.number(queue),
        "last": last,
        "ids": None if ids is None else json.dumps(list(ids)),
        "limit": limit,
    }
    letters = store.execute(SQL.chosen, chosen).fetchall()
    for seq, source, *columns in letters:
        store.execute(SQL.remove, (seq,))
        message = rows.message(source, columns)
        enqueue.restore(store, store.number_for(source), message, now)
        store.changed.add(source)
    return len(letters)


def purge_dead(store: Store, queue: str, last: int, limit: int) -> int:
    """Remove some."""
    return store.execute(SQL.purge, (store.number(queue), last, limit)).rowcount

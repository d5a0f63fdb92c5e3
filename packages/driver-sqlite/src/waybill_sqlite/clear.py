"""Removing what waits: one job, or all of a queue."""

from __future__ import annotations

from typing import Final

from .receive import promote
from .sql import statements
from .store import Store

SQL: Final = statements("clear")


def cancel(store: Store, queue: str, job_id: str) -> bool:
    """Remove one that nobody has received."""
    number = store.number(queue)
    found = store.execute(SQL.cancel, (number, job_id, store.now())).fetchall()
    if number is not None:
        promote(store, queue, number, {group for (group,) in found})
    return bool(found)


def last(store: Store) -> int:
    """The newest job there is now: what comes later is left alone."""
    return store.execute(SQL.last).fetchone()[0] or 0


def purge(store: Store, queue: str, newest: int, limit: int) -> int:
    """Remove some of what waits; 0: nothing is left."""
    number = store.number(queue)
    chosen = {"queue": number, "last": newest, "limit": limit, "now": store.now()}
    # Those behind go before their heads, or they would come forward one by one.
    for statement in (SQL.purge_behind, SQL.purge_timed, SQL.purge_ready):
        found = store.execute(statement, chosen).fetchall()
        if found and number is not None:
            promote(store, queue, number, {group for (group,) in found})
            return len(found)
    return 0

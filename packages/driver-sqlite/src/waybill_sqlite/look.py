"""Looking at a queue without changing it, on a connection that only reads."""

from __future__ import annotations

from typing import Final

from waybill.driver import DelayedMessage, Page, QueueStats

from . import rows
from .sql import statements
from .store import Store, moment

SQL: Final = statements("look")


def stats(store: Store, queue: str) -> QueueStats:
    """How many are in each state, all at one moment."""
    ready, delayed, leased, dead = store.execute(
        SQL.counts, {"queue": store.number(queue), "now": store.now()}
    ).fetchone()
    return QueueStats(ready, delayed, leased, dead)


def queues(store: Store) -> list[str]:
    """All that ever held something."""
    return [name for (name,) in store.execute(SQL.queues)]


def list_delayed(store: Store, queue: str, after: str | None, limit: int) -> Page[DelayedMessage]:
    """A page of those that wait for their time, the earliest first."""
    after_at, _, after_seq = (after or "0:0").partition(":")
    found = store.execute(
        SQL.delayed,
        {
            "queue": store.number(queue),
            "now": store.now(),
            "after_at": int(after_at),
            "after_seq": int(after_seq),
            "limit": limit + 1,
        },
    ).fetchall()
    entries = [DelayedMessage(rows.message(queue, columns), moment(at)) for at, _, *columns in found[:limit]]
    return Page(entries, "{}:{}".format(*found[limit - 1][:2]) if len(found) > limit else None)

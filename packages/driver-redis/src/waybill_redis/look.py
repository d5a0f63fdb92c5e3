"""Looking at queues without changing them."""

from __future__ import annotations

from typing import Final

from waybill.driver import DelayedMessage, Page, QueueStats

from .keys import Keys
from .keyspace import Keyspace
from .moments import moment
from .records import raw, text, to_message
from .scripts import script

_STATS: Final = script("stats")
_DELAYED: Final = script("list_delayed")
_KEYS_AT_ONCE: Final = 1000


async def stats(space: Keyspace, keys: Keys, queue: str) -> QueueStats:
    """How many are in each state, all at one moment."""
    return QueueStats(*await space.call(_STATS, keys.of(queue), ()))


async def queues(space: Keyspace, keys: Keys) -> list[str]:
    """All that hold something: a key that is empty is not there."""
    found: set[str] = set()
    for server in await space.servers():
        cursor = b"0"
        while True:
            cursor, some = await server.ask("SCAN", cursor, "MATCH", keys.pattern, "COUNT", _KEYS_AT_ONCE)
            found.update(queue for key in some if (queue := keys.queue_of(text(key))) is not None)
            if cursor == b"0":
                break
    return sorted(found)


async def list_delayed(space: Keyspace, keys: Keys, queue: str, after: str | None, limit: int) -> Page[DelayedMessage]:
    """A page of those that wait for their time, the earliest first."""
    score, _, job_id = (after or "").partition(":")
    found = await space.call(_DELAYED, keys.of(queue), (raw(job_id), score, limit + 1))
    rows = list(zip(found[::3], found[1::3], found[2::3], strict=True))
    entries = [DelayedMessage(to_message(queue, each, record), moment(due)) for each, due, record in rows[:limit]]
    return Page(entries, f"{rows[limit - 1][1]}:{text(rows[limit - 1][0])}" if len(rows) > limit > 0 else None)

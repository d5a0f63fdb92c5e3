"""Removing what waits: one job, or all of a queue."""

from __future__ import annotations

from typing import Final

from .keys import Keys
from .keyspace import Keyspace
from .look import stats
from .records import raw
from .scripts import script

_CANCEL: Final = script("cancel")
_PURGE: Final = script("purge")
_AT_ONCE: Final = 1000


async def cancel(space: Keyspace, keys: Keys, queue: str, job_id: str) -> bool:
    """Remove one that nobody has received."""
    return bool(await space.call(_CANCEL, keys.of(queue), (raw(job_id),)))


async def purge(space: Keyspace, keys: Keys, queue: str) -> int:
    """Remove as many as wait now, so that it ends while others go on sending."""
    counts = await stats(space, keys, queue)
    left = (counts.ready or 0) + (counts.delayed or 0)
    removed = 0
    while left > 0:
        some = await space.call(_PURGE, keys.of(queue), (min(left, _AT_ONCE),))
        if not some:
            break
        left, removed = left - some, removed + some
    return removed

"""A small key-value store with versions, for what must be decided by exactly one process."""

from __future__ import annotations

from datetime import timedelta
from secrets import randbits
from typing import Final

from waybill.driver import Page, StateEntry, StateValue

from .keys import Keys
from .keyspace import Keyspace
from .moments import micros
from .records import raw, text
from .scripts import script

_GET: Final = script("state_get")
_PUT: Final = script("state_put")
_DELETE: Final = script("state_delete")
_LIST: Final = script("state_list")


async def state_get(space: Keyspace, keys: Keys, key: str) -> StateValue | None:
    """The value that was put last, until it has ended."""
    found = await space.call(_GET, keys.state, (raw(key),))
    return StateValue(found[1], int(found[0])) if found else None


async def state_put(
    space: Keyspace, keys: Keys, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None
) -> int | None:
    """Store it if the version is as expected; its new version, which never was there before."""
    version = randbits(62)
    expected, ends = "" if expect is None else str(expect), "" if ttl is None else str(micros(ttl))
    put = await space.call(_PUT, keys.state, (raw(key), value, str(version), expected, ends))
    return version if put else None


async def state_delete(space: Keyspace, keys: Keys, key: str, expect: int) -> bool:
    """Remove it if the version is as expected."""
    return bool(await space.call(_DELETE, keys.state, (raw(key), str(expect))))


async def state_list(space: Keyspace, keys: Keys, prefix: str, after: str | None, limit: int) -> Page[StateEntry]:
    """A page, in the order of the keys."""
    found = await space.call(_LIST, keys.state, (raw(prefix), raw(after or ""), limit + 1))
    entries = [
        StateEntry(text(name), value, int(version))
        for name, version, value in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]
    return Page(entries[:limit], entries[limit - 1].key if len(entries) > limit > 0 else None)

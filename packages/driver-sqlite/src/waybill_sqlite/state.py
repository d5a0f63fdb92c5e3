"""A small key-value store with versions, for what must be decided by exactly one process."""

from __future__ import annotations

from datetime import timedelta
from secrets import randbits
from typing import Final

from waybill.driver import Page, StateEntry, StateValue

from .sql import statements
from .store import LAST, Store, micros

SQL: Final = statements("state")


def state_get(store: Store, key: str) -> StateValue | None:
    """The value that was put last, until it has ended."""
    row = store.execute(SQL.get, (key, store.now())).fetchone()
    return row and StateValue(*row)


def state_put(store: Store, key: str, value: bytes, expect: int | None, ttl: timedelta | None) -> int | None:
    """Store it if the version is as expected; its new version, which never was there before."""
    now, version = store.now(), randbits(62)
    put = {
        "key": key,
        "value": value,
        "version": version,
        "expect": expect,
        "ends": None if ttl is None else min(now + micros(ttl), LAST),
        "now": now,
    }
    changed = store.execute(SQL.insert if expect is None else SQL.update, put).rowcount
    store.execute(SQL.forget_ended, (now,))
    return version if changed else None


def state_delete(store: Store, key: str, expect: int) -> bool:
    """Remove it if the version is as expected."""
    return store.execute(SQL.delete, (key, expect, store.now())).rowcount > 0


def state_list(store: Store, prefix: str, after: str | None, limit: int) -> Page[StateEntry]:
    """A page, in the order of the keys."""
    chosen = {"prefix": prefix, "after": after or "", "now": store.now(), "limit": limit + 1}
    entries = [StateEntry(*row) for row in store.execute(SQL.page, chosen)]
    return Page(entries[:limit], entries[limit - 1].key if len(entries) > limit else None)

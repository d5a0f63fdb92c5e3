"""Values by key, each with a version, in the table."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Final

from waybill.driver import Page, StateEntry, StateValue

from .table import Item, Table, expiry

_STANDS: Final = "revision = :expect AND (attribute_not_exists(ends_at) OR ends_at > :now)"
_FREE: Final = "attribute_not_exists(pk) OR ends_at <= :now"


class State:
    """The key-value store of one open driver; another prefix is another store."""

    def __init__(self, table: Table, prefix: str) -> None:
        self._table, self._pk = table, f"state#{prefix}"

    async def get(self, key: str) -> StateValue | None:
        item = await self._table.get(self._pk, _sk(key))
        return None if item is None or self._is_over(item) else StateValue(item["content"], item["revision"])

    async def put(self, key: str, value: bytes, expect: int | None, ttl: timedelta | None) -> int | None:
        version = secrets.randbits(62)
        item: Item = {"pk": self._pk, "sk": _sk(key), "content": value, "revision": version}
        if ttl is not None:
            item["ends_at"] = self._table.after(ttl)
            item["exp"] = expiry(item["ends_at"])
        now = self._table.now()
        if expect is None:
            lost = await self._table.put(item, _FREE, now=now)
        else:
            lost = await self._table.put(item, _STANDS, now=now, expect=expect)
        return version if lost is None else None

    async def delete(self, key: str, expect: int) -> bool:
        return await self._table.delete(self._pk, _sk(key), _STANDS, now=self._table.now(), expect=expect)

    async def list(self, prefix: str, after: str | None, limit: int) -> Page[StateEntry]:
        found: list[StateEntry] = []
        async for item in self._table.query(self._pk, begins=_sk(prefix), after="" if after is None else _sk(after)):
            if self._is_over(item):
                continue
            if len(found) == limit:
                return Page(found, found[-1].key if found else after)
            found.append(StateEntry(item["sk"][1:], item["content"], item["revision"]))
        return Page(found, None)

    def _is_over(self, item: Item) -> bool:
        return "ends_at" in item and bool(item["ends_at"] <= self._table.now())


def _sk(key: str) -> str:
    return f"={key}"  # DynamoDB has no empty keys

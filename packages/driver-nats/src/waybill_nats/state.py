"""A small key-value store with versions: each value is a value of the bucket, with its end in a header."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from waybill.driver import Page, StateEntry, StateValue

from .bucket import Bucket, Entry
from .clock import micros
from .names import Names, key_text
from .server import Server

_ENDS: Final = "Waybill-Ends"


class State:
    """The values of one namespace."""

    def __init__(self, server: Server, names: Names, bucket: Bucket) -> None:
        self._server, self._names, self._bucket = server, names, bucket

    async def get(self, key: str) -> StateValue | None:
        """The value that was put last, until it has ended."""
        self._server.check_caller()
        entry = await self._bucket.last(self._names.state(key))
        return None if entry is None or self._has_ended(entry) else StateValue(entry.value, entry.version)

    async def put(self, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None) -> int | None:
        """Store it if the version is as expected; its new version, which never was there before."""
        self._server.check_caller()
        headers = None
        if ttl is not None:
            await self._server.ask_the_time()
            headers = {_ENDS: str(self._server.clock.latest() + micros(ttl))}
        subject = self._names.state(key)
        if expect is not None:
            entry = await self._bucket.last(subject)
            if entry is None or entry.version != expect or self._has_ended(entry):
                return None
            return await self._bucket.put(subject, value, expect, headers)
        version = await self._bucket.put(subject, value, 0, headers)
        if version is not None:
            return version
        entry = await self._bucket.last(subject)  # one that has ended is none
        if entry is None or not self._has_ended(entry):
            return None
        return await self._bucket.put(subject, value, entry.version, headers)

    async def delete(self, key: str, expect: int) -> bool:
        """Remove it if the version is as expected."""
        self._server.check_caller()
        entry = await self._bucket.last(self._names.state(key))
        if entry is None or entry.version != expect:
            return False
        return await self._bucket.remove(expect) and not self._has_ended(entry)

    async def list(self, prefix: str, after: str | None, limit: int) -> Page[StateEntry]:
        """A page, in the order of the keys."""
        self._server.check_caller()
        start = f"{self._names.values}.state."
        keys = sorted(key_text(each.removeprefix(start)) for each in await self._bucket.subjects(f"{start}>"))
        rest = [key for key in keys if key.startswith(prefix) and (after is None or key > after)]
        found: list[StateEntry] = []
        for place in range(0, len(rest), limit + 1):
            some = rest[place : place + limit + 1]
            for key, entry in zip(some, await asyncio.gather(*map(self._last, some)), strict=True):
                if entry is not None and not self._has_ended(entry):
                    found.append(StateEntry(key, entry.value, entry.version))
                elif entry is not None:
                    self._server.run_errand(self._bucket.remove(entry.version))
            if len(found) > limit:
                break
        return Page(found[:limit], found[limit - 1].key if len(found) > limit > 0 else None)

    async def _last(self, key: str) -> Entry | None:
        return await self._bucket.last(self._names.state(key))

    def _has_ended(self, entry: Entry) -> bool:
        name = f"{_ENDS}: ".encode()
        _, found, rest = entry.headers.partition(name)
        return bool(found) and self._server.clock.earliest() >= int(rest.partition(b"\r\n")[0])

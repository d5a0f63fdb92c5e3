"""Where schedules are written down: records with versions in a driver that keeps state.

Beside the records there are: a mark that changes with them, so that workers see by one look whether there is anything
new; a sign of life of each worker; and, for a while, which instants have been run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Final

from ..driver import KeepsState
from ..errors import BrokerUnavailableError
from .record import Record, decode_record, encode_record

_logger: Final = logging.getLogger("waybill.schedules")
_PAGE: Final = 500
_TRIES: Final = 50
RAN_FOR: Final = timedelta(hours=1)
"""How long an instant is known to have been run: longer than a worker can be paused in the middle of firing it."""

Change = Callable[[Record | None], Record | None]
"""From the record that is there to the one that is to be; the same object: nothing is changed."""


class Book:
    """The schedules of one namespace in one store.

    Args:
        store: keeps them; open.
        namespace: None is one of its own too.
    """

    def __init__(self, store: KeepsState, namespace: str | None) -> None:
        self._store = store
        self._root = f"schedules/{namespace or '-'}/"

    # -- records ---------------------------------------------------------------------------------------

    async def get(self, schedule_id: str) -> tuple[Record, int] | None:
        """A record and its version."""
        found = await self._store.state_get(self._key(schedule_id))
        return None if found is None else (decode_record(found.value), found.version)

    async def put(self, record: Record, expect: int | None) -> bool:
        """Write a record if the version is still this one; whether it was."""
        return await self._store.state_put(self._key(record.id), encode_record(record), expect=expect) is not None

    async def change(self, schedule_id: str, change: Change) -> Record | None:
        """Change a record, again and again if others do so meanwhile; returns the one that is there then.

        Raises:
            BrokerUnavailableError: others never let it.
        """
        for _ in range(_TRIES):
            found = await self.get(schedule_id)
            before, version = found or (None, None)
            after = change(before)
            if after is before:
                return before
            if after is None:
                assert version is not None
                if await self._store.state_delete(self._key(schedule_id), expect=version):
                    return None
            elif await self.put(after, version):
                return after
        raise BrokerUnavailableError(f"schedule {schedule_id!r} is being changed by others all the time; try again")

    async def records(self) -> AsyncIterator[Record]:
        """Every record, in the order of the ids."""
        prefix = self._key("")
        after: str | None = None
        while True:
            page = await self._store.state_list(prefix, after=after, limit=_PAGE)
            for each in page.entries:
                try:
                    record = decode_record(each.value)
                except ValueError as error:  # of a later version: the others go on
                    _logger.warning("schedule %r cannot be read here: %s", each.key.removeprefix(prefix), error)
                else:
                    yield record
            after = page.next
            if after is None:
                return

    def _key(self, schedule_id: str) -> str:
        return f"{self._root}entry/{schedule_id}"

    # -- the mark --------------------------------------------------------------------------------------

    async def mark(self) -> bytes | None:
        """Another one after every change by `changed`."""
        found = await self._store.state_get(f"{self._root}mark")
        return None if found is None else found.value

    async def changed(self) -> None:
        """Let workers see that records were added, replaced or removed."""
        key = f"{self._root}mark"
        found = await self._store.state_get(key)
        # If another is first, its mark is as good: it was made after our records were written.
        await self._store.state_put(key, os.urandom(8), expect=None if found is None else found.version)

    # -- signs of life ---------------------------------------------------------------------------------

    async def sign(self, worker: str, since: datetime, ttl: timedelta) -> None:
        """Say that *worker* lives, and from when on somebody has, as far as it knows."""
        key, value = f"{self._root}alive/{worker}", since.isoformat().encode()
        found = await self._store.state_get(key)
        await self._store.state_put(key, value, expect=None if found is None else found.version, ttl=ttl)

    async def sign_off(self, worker: str) -> None:
        """Take that back."""
        key = f"{self._root}alive/{worker}"
        found = await self._store.state_get(key)
        if found is not None:
            await self._store.state_delete(key, expect=found.version)

    async def signs(self) -> dict[str, datetime]:
        """Who lives, and from when on somebody has."""
        prefix = f"{self._root}alive/"
        page = await self._store.state_list(prefix, limit=_PAGE)
        return {each.key.removeprefix(prefix): datetime.fromisoformat(each.value.decode()) for each in page.entries}

    # -- what has been run -----------------------------------------------------------------------------

    async def has_run(self, job_id: str) -> bool:
        """Whether this instant's job was run to its end not long ago."""
        return await self._store.state_get(self._ran(job_id)) is not None

    async def note_run(self, job_id: str) -> None:
        """Remember for a while that it was."""
        await self._store.state_put(self._ran(job_id), b"1", expect=None, ttl=RAN_FOR)

    def _ran(self, job_id: str) -> str:
        return f"{self._root}ran/{job_id}"

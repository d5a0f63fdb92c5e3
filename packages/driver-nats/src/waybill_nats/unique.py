"""Who holds a unique key: an entry of the bucket per key, which is worth something while its holder is stored.

Of several that want a key the server lets one write, as each says which entry it expects to replace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from waybill.envelope import Message, UniqueScope
from waybill.errors import DuplicateJobError

from .bucket import Bucket, Entry
from .clock import micros
from .names import LATER, TIMED, Names, token
from .server import Server

_GRACE: Final = 2.0
"""How many timeouts a key is held by a message that is not stored: its sender may be about to store it."""
_ROUNDS: Final = 100


class Holder(msgspec.Struct):
    """The value of an entry."""

    id: str
    until: UniqueScope
    ends: int | None
    """Microseconds since 1970, by the server's clock."""
    since: int


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Holder)


class UniqueKeys:
    """The keys of one namespace."""

    def __init__(self, server: Server, names: Names, bucket: Bucket) -> None:
        self._server, self._names, self._bucket = server, names, bucket

    async def take(self, message: Message) -> int:
        """Hold the key of a message; the version of the entry, or 0 if the message had it before.

        Raises:
            DuplicateJobError: another message holds it.
        """
        assert message.unique is not None
        unique, clock = message.unique, self._server.clock
        subject = self._names.unique(message.queue, unique.key)
        expect = 0
        holder = message.id
        for _ in range(_ROUNDS):
            now = clock.latest()
            ends = None if unique.window is None else now + micros(unique.window)
            version = await self._bucket.put(subject, _encode(Holder(message.id, unique.until, ends, now)), expect)
            if version is not None:
                return version
            entry = await self._bucket.last(subject)
            if entry is None:
                expect = 0
                continue
            found = _decode.decode(entry.value)
            holder = found.id
            if await self._is_held(message.queue, found):
                if found.id == message.id:
                    return 0
                raise DuplicateJobError(unique.key, found.id)
            expect = entry.version
        raise DuplicateJobError(unique.key, holder)  # others take it again and again

    async def free(self, message: Message, *scopes: UniqueScope) -> None:
        """Let the key go, if this message holds it and its scope is one of these."""
        if message.unique is None or message.unique.until not in scopes:
            return
        entry = await self._bucket.last(self._names.unique(message.queue, message.unique.key))
        if entry is not None and _decode.decode(entry.value).id == message.id:
            await self._bucket.remove(entry.version)

    async def give_up(self, version: int) -> None:
        """Let a key go that was taken for nothing."""
        await self._bucket.remove(version)

    async def free_orphans(self, queue: str) -> None:
        """Let the keys go whose holder is not stored any more."""
        subjects = await self._bucket.subjects(f"{self._names.unique_of(queue)}.>")
        await asyncio.gather(*(self._free_orphan(queue, each) for each in subjects))

    async def _free_orphan(self, queue: str, subject: str) -> None:
        entry = await self._bucket.last(subject)
        if entry is None:
            return
        found = _decode.decode(entry.value)
        if found.until != "window" and not await self.is_stored(queue, found.id):
            await self._bucket.remove(entry.version)

    async def _is_held(self, queue: str, holder: Holder) -> bool:
        now = self._server.clock.earliest()
        if holder.ends is not None and now >= holder.ends:
            return False
        if holder.until == "window" or now < holder.since + _GRACE * self._server.seconds * 1e6:
            return True
        return await self.is_stored(queue, holder.id)

    async def is_stored(self, queue: str, message_id: str) -> bool:
        """Whether a message waits or is leased."""
        return await self.find(queue, message_id) is not None

    async def find(self, queue: str, message_id: str) -> Entry | None:
        """A message by its id, ready or delayed, if it is there."""
        root, name = self._names.root(queue), token(message_id)
        subjects = (f"{root}.*.{name}", f"{root}.{LATER}.*.{name}", f"{root}.{TIMED}.*.{name}")
        found = await asyncio.gather(*(self._bucket.last(each, self._names.stream(queue)) for each in subjects))
        return next((each for each in found if each is not None), None)


def holders(messages: Iterable[Message]) -> list[Message]:
    """Those that want a key."""
    return [message for message in messages if message.unique is not None]

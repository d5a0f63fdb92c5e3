"""Deliveries that nobody began, which must not count as attempts.

JetStream counts every delivery. What came for a receiver that was cancelled, and what is released, goes back with
`-NAK`, so that it keeps its place in the queue; how many of its deliveries do not count is written into the bucket
before. Only what is delivered a second time has to be looked up there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .bucket import Bucket, Entry
from .names import Names
from .pull import Raw
from .server import Server

NAK = b"-NAK"


class Unspent:
    """The deliveries of one namespace that do not count."""

    def __init__(self, server: Server, names: Names, bucket: Bucket) -> None:
        self._server, self._names, self._bucket = server, names, bucket
        self._strays: list[Raw] = []

    def stray(self, raw: Raw) -> None:
        """Give back what nobody waits for, in the order in which it came."""
        if not self._strays:
            self._server.run_errand(self._give_back_strays())
        self._strays.append(raw)

    async def count(self, raws: Sequence[Raw]) -> dict[int, Entry]:
        """By their number in the stream: the entries of those that were delivered before."""
        again = [raw for raw in raws if raw.delivered > 1]
        entries = await asyncio.gather(
            *(self._bucket.last(self._names.unspent(raw.lane.queue, raw.seq, raw.stored)) for raw in again)
        )
        return {raw.seq: entry for raw, entry in zip(again, entries, strict=True) if entry is not None}

    async def forgive(self, queue: str, seq: int, stored: int, *, first: bool) -> None:
        """One more delivery that does not count; *first*: none was noted before."""
        subject = self._names.unspent(queue, seq, stored)
        entry = None if first else await self._bucket.last(subject)
        count, version = (0, 0) if entry is None else (int(entry.value), entry.version)
        await self._bucket.put(subject, b"%d" % (count + 1), version)

    async def give_back(self, raws: Sequence[Raw]) -> None:
        """Let others have them, in order, as if they had never been delivered."""
        notes = (self.forgive(raw.lane.queue, raw.seq, raw.stored, first=raw.delivered == 1) for raw in raws)
        await asyncio.gather(*notes, return_exceptions=True)  # an attempt that is spent is better than a lost lease
        link = await self._server.link()
        for raw in raws:
            link.tell(raw.reply, NAK)

    async def _give_back_strays(self) -> None:
        while self._strays:
            raws, self._strays[:] = self._strays[:], []
            await self.give_back(raws)

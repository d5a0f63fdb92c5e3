"""Taking a job back that nobody has received.

A server deletes a message whether or not it has been delivered, and does not tell. So the consumer is paused for the
moment between looking and deleting, which servers can from NATS 2.11 on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from waybill.envelope import unwrap
from waybill.timing import format_moment

from .bucket import Bucket, Entry
from .clock import moment
from .names import LATER, TIMED, Names, token
from .server import Server
from .topology import Lane, Topology
from .unique import UniqueKeys

PAUSES: Final = (2, 11)
"""From this version on a consumer can be paused."""
_PAUSE: Final = 5_000_000
"""Microseconds after which a consumer goes on by itself, should we die meanwhile."""


class Cancelling:
    """The cancellers of one open driver."""

    def __init__(self, server: Server, names: Names, topology: Topology, bucket: Bucket, keys: UniqueKeys) -> None:
        self._server, self._names, self._topology = server, names, topology
        self._bucket, self._keys = bucket, keys
        self._one = asyncio.Lock()

    async def cancel(self, name: str, message_id: str) -> bool:
        """Remove one message that waits; True: it will never start."""
        self._server.check_caller()
        if not await self._topology.exists(name):
            return False
        queue = await self._topology.to_receive(name)
        root, stream = self._names.root(name), self._names.stream(name)
        for how in (LATER, TIMED):
            entry = await self._bucket.last(f"{root}.{how}.*.{token(message_id)}", stream)
            if entry is not None and await self._bucket.remove(entry.version, stream):
                await self._forget(name, entry)
                return True
        for lane in queue.lanes:  # it was never delayed, or has become ready meanwhile
            entry = await self._bucket.last(f"{root}.{lane.level}.{token(message_id)}", stream)
            if entry is not None and await self._remove(lane, entry.version):
                await self._forget(name, entry)
                return True
        return False

    async def _remove(self, lane: Lane, seq: int) -> bool:
        async with self._server.deadline(), self._one, self._paused(lane):
            info = await self._server.api(f"CONSUMER.INFO.{lane.stream}.{lane.consumer}")
            if info["delivered"]["stream_seq"] >= seq:
                return False
            return await self._bucket.remove(seq, lane.stream)

    @contextlib.asynccontextmanager
    async def _paused(self, lane: Lane) -> AsyncIterator[None]:
        """While this lasts the consumer delivers nothing; one process at a time."""
        clock = self._server.clock
        await self._server.ask_the_time()
        subject = f"{self._names.values}.pause.{lane.stream}.{lane.consumer}"
        expect = 0
        while (held := await self._bucket.put(subject, b"%d" % (clock.latest() + _PAUSE), expect)) is None:
            other = await self._bucket.last(subject)
            expect = 0
            if other is not None and clock.earliest() > int(other.value):
                expect = other.version
            elif other is not None:
                await asyncio.sleep(0.005)
        verb = f"CONSUMER.PAUSE.{lane.stream}.{lane.consumer}"
        try:
            await self._server.api(verb, pause_until=format_moment(moment(clock.latest() + _PAUSE)))
            yield
        finally:
            await self._server.api(verb)
            await self._bucket.remove(held)

    async def _forget(self, name: str, entry: Entry) -> None:
        """The key of a message that is gone is free."""
        await self._keys.free(unwrap(entry.value, queue=name).message, "done", "start")

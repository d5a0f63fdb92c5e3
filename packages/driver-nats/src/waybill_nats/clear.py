"""Removing all that waits in a queue."""

from __future__ import annotations

import time
from typing import Final

from .catch import Catch
from .names import LATER, TIMED, Names
from .pullers import Pullers
from .server import Server
from .topology import Lane, Topology
from .unique import UniqueKeys

_AT_ONCE: Final = 256
_PURGES_WELL: Final = (2, 10)
"""Before, a consumer whose messages were purged leaves the next pull without an answer."""


class Clearing:
    """The clearers of one open driver."""

    def __init__(self, server: Server, names: Names, topology: Topology, keys: UniqueKeys, pullers: Pullers) -> None:
        self._server, self._names, self._topology = server, names, topology
        self._keys, self._pullers = keys, pullers

    async def purge(self, name: str) -> int:
        """Remove what waits; what is leased stays."""
        self._server.check_caller()
        if not await self._topology.exists(name):
            return 0
        queue = await self._topology.to_receive(name)
        removed = 0
        for how in (LATER, TIMED):
            removed += await self._purge_subjects(name, f"{self._names.root(name)}.{how}.>")
        for lane in queue.lanes:
            removed += await self._purge_lane(lane)
        await self._keys.free_orphans(name)
        return removed

    async def _purge_lane(self, lane: Lane) -> int:
        info = await self._server.api(f"CONSUMER.INFO.{lane.stream}.{lane.consumer}")
        left = info["num_pending"] + info["num_ack_pending"]
        link = await self._server.link()
        if not info["num_ack_pending"] and link.version >= _PURGES_WELL:
            return await self._purge_subjects(lane.queue, f"{self._names.root(lane.queue)}.{lane.level}.>")
        # A purge by the server would remove what is leased, too: so what waits is received and acked.
        removed = 0
        while removed < left and (some := await self._take(lane, min(_AT_ONCE, left - removed))):
            removed += some
        return removed

    async def _purge_subjects(self, name: str, pattern: str) -> int:
        answer = await self._server.api(f"STREAM.PURGE.{self._names.stream(name)}", filter=pattern)
        return int(answer["purged"])

    async def _take(self, lane: Lane, batch: int) -> int:
        async with self._server.deadline():
            link = await self._server.link()
            catch = Catch(self._pullers.of(link))
            try:
                pull = await catch.begin(lane, batch)
                while not pull.over and await catch.change(time.monotonic() + 2):
                    pass
            finally:
                raws = catch.land()
            for raw in raws:
                link.tell(raw.reply, b"+ACK")
            if raws:
                await link.ask(raws[-1].reply, b"+ACK")
        return len(raws)

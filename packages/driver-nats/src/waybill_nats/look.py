"""Looking at queues without changing them."""

from __future__ import annotations

import asyncio
from typing import Any

from waybill.driver import DelayedMessage, Page, QueueStats
from waybill.envelope import unwrap

from .bucket import Bucket
from .clock import micros_at, moment, parse
from .letters import Letters
from .names import LATER, TIMED, Names
from .parking import Parking
from .server import Server
from .topology import Topology


class Looking:
    """The lookers of one open driver."""

    def __init__(
        self,
        server: Server,
        names: Names,
        topology: Topology,
        bucket: Bucket,
        *,
        letters: Letters,
        parking: Parking,
    ) -> None:
        self._server, self._names, self._topology = server, names, topology
        self._bucket, self._letters, self._parking = bucket, letters, parking

    async def stats(self, name: str) -> QueueStats:
        """How many are in each state, as far as the consumers can tell."""
        self._server.check_caller()
        dead = await self._letters.count(name)
        if not await self._topology.exists(name):
            return QueueStats(0, 0, 0, dead)
        queue = await self._topology.to_receive(name)
        await self._parking.sweep(queue)
        stream = self._names.stream(name)
        waiting = [LATER, TIMED] if queue.scheduling else [LATER]
        asked = [lane.consumer for lane in queue.lanes] + waiting
        await self._server.ask_the_time()
        infos = await asyncio.gather(*(self._server.api(f"CONSUMER.INFO.{stream}.{each}") for each in asked))
        levels, delays = infos[: len(queue.lanes)], infos[len(queue.lanes) :]
        delayed = sum(each["num_pending"] + each["num_ack_pending"] for each in delays)
        ready, leased = sum(each["num_pending"] for each in levels), sum(each["num_ack_pending"] for each in levels)
        if not all(self._tells(each) for each in levels):
            return QueueStats(None, delayed, None, dead)
        return QueueStats(ready, delayed, leased, dead)

    def _tells(self, info: dict[str, Any]) -> bool:
        """Whether what was delivered and not settled is leased: a consumer does not tell which leases have ended.

        It hands out at once what is there if a pull waits. And what it has delivered within a lease was not there
        before the last one.
        """
        if not info["num_ack_pending"] or info["num_waiting"]:
            return True
        last = info["delivered"].get("last_active")
        if last is None:
            return False
        since = self._server.clock.latest() - micros_at(parse(last))
        return since < self._server.options.lease.total_seconds() * 1e6

    async def queues(self) -> list[str]:
        """All whose stream is there."""
        self._server.check_caller()
        found: list[str] = []
        offset = 0
        while True:
            answer = await self._server.api("STREAM.NAMES", offset=offset, subject=f"{self._names.namespace}.>")
            streams = answer.get("streams") or []
            found += [queue for each in streams if (queue := self._names.queue_of(each)) is not None]
            offset += len(streams)
            if not streams or offset >= answer.get("total", 0):
                return sorted(set(found))

    async def list_delayed(self, name: str, after: str | None, limit: int) -> Page[DelayedMessage]:
        """A page of those that wait for their time, the earliest first."""
        self._server.check_caller()
        if not await self._topology.exists(name):
            return Page([], None)
        await self._parking.sweep(await self._topology.to_receive(name))
        root, stream = self._names.root(name), self._names.stream(name)
        found = [each for how in (LATER, TIMED) for each in await self._bucket.subjects(f"{root}.{how}.>", stream)]
        order = sorted((_place(each), each) for each in found)
        rest = [subject for place, subject in order if after is None or place > after]
        chosen = rest[:limit]
        entries = await asyncio.gather(*(self._bucket.last(each, stream) for each in chosen))
        delayed = [
            DelayedMessage(
                unwrap(entry.value, queue=name, broker_id=f"{stream}:{entry.version}").message,
                moment(int(_place(entry.subject).partition(".")[0])),
            )
            for entry in entries
            if entry is not None
        ]
        return Page(delayed, _place(chosen[-1]) if len(rest) > limit > 0 else None)


def _place(subject: str) -> str:
    """What orders delayed messages: <due>.<id>."""
    return ".".join(subject.rsplit(".", 2)[1:])

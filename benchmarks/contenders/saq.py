"""saq on Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from saq import Queue, Worker

import benchmarks.contender as base
from benchmarks.contender import Place, tally


async def nothing(ctx: Any, *, payload: dict[str, Any]) -> None:
    tally.finished()


async def stamp(ctx: Any, *, due: float) -> None:
    tally.began(due)


class Contender(base.Contender):
    module = "saq"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._queue = Queue.from_url(f"{place.url}?max_connections=1000", name=place.name)

    async def open(self) -> None:
        await self._queue.connect()

    async def close(self) -> None:
        await self._queue.disconnect()

    async def send(self, payload: dict[str, Any]) -> None:
        await self._queue.enqueue("nothing", payload=payload)

    async def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        if plain:
            raise NotImplementedError
        for first in range(0, count, 100):
            await asyncio.gather(*(self.send(payload) for _ in range(min(100, count - first))))

    async def send_stamp(self, due: float, delay: float) -> None:
        # Whole seconds are all it knows: rounded up, so that nothing is early.
        await self._queue.enqueue("stamp", due=due, scheduled=math.ceil(due) if delay else 0)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        worker = Worker(self._queue, functions=[nothing, stamp], concurrency=100)
        worker.SIGNALS = []
        task = asyncio.create_task(worker.start())
        yield
        await worker.stop()
        task.cancel()
        await asyncio.wait([task])

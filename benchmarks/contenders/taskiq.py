"""taskiq on Redis streams; a delay needs its scheduler, a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from taskiq import AsyncBroker
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

import benchmarks.contender as base
from benchmarks.contender import Place, tally


class Contender(base.Contender):
    module = "taskiq"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._broker = self.make_broker(place)

        @self._broker.task(task_name="nothing")
        async def nothing(payload: dict[str, Any]) -> None:
            tally.finished()

        @self._broker.task(task_name="nothing-plain")
        def plain(payload: dict[str, Any]) -> None:
            tally.finished_in_thread()

        @self._broker.task(task_name="stamp")
        async def stamp(due: float) -> None:
            tally.began(due)

        self._nothing, self._plain, self._stamp = nothing, plain, stamp

    def make_broker(self, place: Place) -> AsyncBroker:
        return RedisStreamBroker(place.url, queue_name=place.name, consumer_group_name=place.name, consumer_id="0")

    async def open(self) -> None:
        await self._broker.startup()

    async def close(self) -> None:
        await self._broker.shutdown()

    async def send(self, payload: dict[str, Any]) -> None:
        await self._nothing.kiq(payload)

    async def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        task = self._plain if plain else self._nothing
        for first in range(0, count, 100):
            await asyncio.gather(*(task.kiq(payload) for _ in range(min(100, count - first))))

    async def send_stamp(self, due: float, delay: float) -> None:
        if delay:
            raise NotImplementedError
        await self._stamp.kiq(due)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        self._broker.is_worker_process = True
        task = asyncio.create_task(run_receiver_task(self._broker, max_async_tasks=100, max_prefetch=100))
        yield
        task.cancel()
        await asyncio.wait([task])

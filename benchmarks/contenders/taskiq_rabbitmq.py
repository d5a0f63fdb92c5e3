"""taskiq on aio-pika: a quorum queue, persistent and confirmed messages, acks after the run; all are its defaults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from taskiq.api import run_receiver_task
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue

import benchmarks.contender as base
from benchmarks.contender import Place, tally


class Contender(base.Contender):
    module = "taskiq"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._broker = AioPikaBroker(
            place.url,
            qos=100,
            exchange=Exchange(name=place.name),
            task_queues=[Queue(name=place.name)],
            dead_letter_queue=Queue(name=f"{place.name}.dead"),
            delay_queue=Queue(name=f"{place.name}.delay"),
        )

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

    async def open(self) -> None:
        self._broker.is_worker_process = True  # one object sends and receives here
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
        await self._stamp.kicker().with_labels(**({"delay": delay} if delay else {})).kiq(due)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        task = asyncio.create_task(run_receiver_task(self._broker, max_async_tasks=100, max_prefetch=100))
        yield
        task.cancel()
        await asyncio.wait([task])

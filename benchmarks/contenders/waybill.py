"""Waybill with its defaults, on any broker."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import benchmarks.contender as base
from benchmarks.contender import Place, tally
from waybill import JobService, Worker, define_job


async def nothing(payload: dict[str, Any]) -> None:
    tally.finished()


def nothing_plain(payload: dict[str, Any]) -> None:
    tally.finished_in_thread()


async def stamp(payload: dict[str, float]) -> None:
    tally.began(payload["due"])


class Contender(base.Contender):
    module = "waybill"
    drained = 40_000

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._nothing = define_job(name="nothing", handler=nothing, schema=dict, queue=place.name)
        self._plain = define_job(name="nothing-plain", handler=nothing_plain, schema=dict, queue=place.name)
        self._stamp = define_job(name="stamp", handler=stamp, schema=dict, queue=place.name)
        self._service = JobService(place.url, jobs=[self._nothing, self._plain, self._stamp])

    async def open(self) -> None:
        await self._service.open()

    async def close(self) -> None:
        await self._service.close()

    async def send(self, payload: dict[str, Any]) -> None:
        await self._service.enqueue(self._nothing, payload)

    async def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        sent = await self._service.enqueue_batch([(self._plain if plain else self._nothing, payload)] * count)
        sent.raise_for_failed()

    async def send_stamp(self, due: float, delay: float) -> None:
        if delay:
            await self._service.enqueue_in(self._stamp, {"due": due}, delay)
        else:
            await self._service.enqueue(self._stamp, {"due": due})

    def worker(self) -> AbstractAsyncContextManager[Any]:
        return Worker(self._service)

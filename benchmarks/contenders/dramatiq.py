"""dramatiq with eight threads; on the URL's broker, on RabbitMQ with confirms, without which it loses jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dramatiq
from dramatiq.broker import Broker

import benchmarks.contender as base
from benchmarks.contender import Place, tally


def broker_of(place: Place, *, safe: bool) -> Broker:
    if place.broker == "redis":
        from dramatiq.brokers.redis import RedisBroker

        return RedisBroker(url=f"{place.url}?max_connections=1000", namespace=place.name)
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    return RabbitmqBroker(url=place.url, confirm_delivery=safe)


class Contender(base.Contender):
    module = "dramatiq"
    blocking = True
    safe = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._broker = broker_of(place, safe=self.safe)

        @dramatiq.actor(broker=self._broker, queue_name=place.name)
        def nothing(payload: dict[str, Any]) -> None:
            tally.finished_in_thread()

        @dramatiq.actor(broker=self._broker, queue_name=place.name)
        def stamp(due: float) -> None:
            tally.began(due)

        self._nothing, self._stamp = nothing, stamp

    async def close(self) -> None:
        await asyncio.to_thread(self._broker.close)

    def send(self, payload: dict[str, Any]) -> None:
        self._nothing.send(payload)

    def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        for _ in range(count):  # it has no bulk call
            self._nothing.send(payload)

    def send_stamp(self, due: float, delay: float) -> None:
        self._stamp.send_with_options(args=(due,), delay=round(delay * 1000) or None)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        worker = dramatiq.Worker(self._broker, worker_threads=8)
        worker.start()
        yield
        await asyncio.to_thread(worker.stop)

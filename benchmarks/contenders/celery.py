"""celery with its solo pool and late acks, its quickest setting that survives a crash; on the URL's broker.

On RabbitMQ that takes confirms and quorum queues as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from celery import Celery
from celery.contrib.testing.worker import start_worker

import benchmarks.contender as base
from benchmarks.contender import Place, tally


def _for_sqs(url: str) -> tuple[str, dict[str, Any]]:
    """An emulator's URL as kombu wants it."""
    parts = urlsplit(url)
    endpoint = urlsplit(parse_qs(parts.query)["endpoint_url"][0])
    return (
        f"sqs://{parts.username}:{parts.password}@{endpoint.netloc}",
        {"region": parts.hostname, "is_secure": False, "wait_time_seconds": 5, "polling_interval": 0.1},
    )


class Contender(base.Contender):
    module = "celery"
    blocking = True
    drained = 4_000
    safe = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        url, options = _for_sqs(place.url) if place.broker == "sqs" else (place.url, {})
        self._app = app = Celery(place.name, broker=url)
        app.conf.update(
            task_default_queue=place.name,
            broker_transport_options=options,
            task_ignore_result=True,
            task_acks_late=self.safe,
            worker_prefetch_multiplier=100,
            worker_hijack_root_logger=False,
            broker_connection_retry_on_startup=True,
        )
        if place.broker == "rabbitmq" and self.safe:
            app.conf.update(
                broker_transport_options={"confirm_publish": True},
                task_default_queue_type="quorum",
                task_default_exchange_type="topic",  # which delays on quorum queues need
            )

        @app.task(name="nothing")
        def nothing(payload: dict[str, Any]) -> None:
            tally.finished_in_thread()

        @app.task(name="stamp")
        def stamp(due: float) -> None:
            tally.began(due)

        self._nothing, self._stamp = nothing, stamp
        logging.disable(logging.ERROR)

    async def close(self) -> None:
        await asyncio.to_thread(self._app.close)

    def send(self, payload: dict[str, Any]) -> None:
        self._nothing.delay(payload)

    def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        with self._app.producer_or_acquire() as producer:  # one connection: as near to a bulk call as it comes
            for _ in range(count):
                self._nothing.apply_async((payload,), producer=producer)

    def send_stamp(self, due: float, delay: float) -> None:
        self._stamp.apply_async((due,), countdown=delay or None)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        running = start_worker(self._app, pool="solo", perform_ping_check=False, shutdown_timeout=30)
        await asyncio.to_thread(running.__enter__)
        yield
        await asyncio.to_thread(running.__exit__, None, None, None)

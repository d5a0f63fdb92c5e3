"""What one writes by hand: a quorum queue, confirms for each message, acks by the hundred, with pika on one loop.

No envelope, nothing that notices a message no queue takes, no delays, no reconnecting.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pika import BasicProperties, URLParameters
from pika.adapters.asyncio_connection import AsyncioConnection

import benchmarks.contender as base
from benchmarks.contender import tally

PREFETCH = 1000
ACKED_AT_ONCE = 100
PERSISTENT = BasicProperties(delivery_mode=2)


class Contender(base.Contender):
    module = "pika"
    drained = 40_000

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._confirms: dict[int, asyncio.Future[None]] = {}
        self._number = 0
        self._connection, self._channel = await self._connect()
        arguments = {"x-queue-type": "quorum"}
        await self._ask(self._channel.queue_declare, self.place.name, durable=True, arguments=arguments)
        await self._ask(self._channel.confirm_delivery, self._confirmed)

    async def close(self) -> None:
        await self._disconnect(self._connection)

    async def send(self, payload: dict[str, Any]) -> None:
        await self._publish(payload)

    async def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        if plain:
            raise NotImplementedError
        await asyncio.gather(*(self._publish(payload) for _ in range(count)))

    async def send_stamp(self, due: float, delay: float) -> None:
        if delay:
            raise NotImplementedError
        await self._publish({"due": due})

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        connection, channel = await self._connect()
        await self._ask(channel.basic_qos, prefetch_count=PREFETCH)
        held = 0
        last = 0

        def ack() -> None:
            nonlocal held
            if held:
                channel.basic_ack(last, multiple=True)
                held = 0

        def work(_: Any, method: Any, properties: Any, body: bytes) -> None:
            nonlocal held, last
            payload = json.loads(body)
            if "due" in payload:
                tally.began(payload["due"])
            else:
                tally.finished()
            last, held = method.delivery_tag, held + 1
            if held == 1:
                self._loop.call_soon(ack)
            if held == ACKED_AT_ONCE:
                ack()

        await self._ask(channel.basic_consume, self.place.name, work)
        yield
        ack()
        await self._disconnect(connection)

    def _publish(self, payload: dict[str, Any]) -> asyncio.Future[None]:
        self._number += 1
        confirmed = self._confirms[self._number] = self._loop.create_future()
        self._channel.basic_publish("", self.place.name, json.dumps(payload).encode(), PERSISTENT)
        return confirmed

    def _confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        for each in [each for each in self._confirms if each <= tag] if frame.method.multiple else [tag]:
            self._confirms.pop(each).set_result(None)

    async def _connect(self) -> tuple[Any, Any]:
        connected: asyncio.Future[Any] = self._loop.create_future()
        parameters = URLParameters(self.place.url)
        connection = AsyncioConnection(
            parameters, connected.set_result, lambda _, error: connected.set_exception(error)
        )
        await connected
        opened: asyncio.Future[Any] = self._loop.create_future()
        connection.channel(on_open_callback=opened.set_result)
        return connection, await opened

    async def _disconnect(self, connection: Any) -> None:
        gone: asyncio.Future[None] = self._loop.create_future()
        connection.add_on_close_callback(lambda *_: gone.set_result(None))
        connection.close()
        await gone

    async def _ask(self, method: Any, *arguments: Any, **keywords: Any) -> None:
        answered: asyncio.Future[Any] = self._loop.create_future()
        method(*arguments, **keywords, callback=answered.set_result)
        await answered

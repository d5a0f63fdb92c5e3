"""repid on Redis streams, a hundred at a time; it has no delays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from repid import Repid, Router
from repid.connections.redis import RedisServer

import benchmarks.contender as base
from benchmarks.contender import Place, tally


class Contender(base.Contender):
    module = "repid"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._app = Repid(title="benchmark")
        self._server = RedisServer(f"{place.url}?max_connections=1000", batch_size=100)
        self._app.servers.register_server("default", self._server, is_default=True)
        router = Router()

        @router.actor(channel=place.name)
        async def nothing(payload: dict[str, Any]) -> None:
            tally.finished()

        @router.actor(channel=place.name)
        async def stamp(due: float) -> None:
            tally.began(due)

        self._app.include_router(router)

    async def open(self) -> None:
        await self._server.connect()

    async def close(self) -> None:
        await self._server.disconnect()

    async def send(self, payload: dict[str, Any]) -> None:
        await self._send("nothing", {"payload": payload})

    async def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        if plain:
            raise NotImplementedError
        for first in range(0, count, 100):
            await asyncio.gather(*(self.send(payload) for _ in range(min(100, count - first))))

    async def send_stamp(self, due: float, delay: float) -> None:
        if delay:
            raise NotImplementedError
        await self._send("stamp", {"due": due})

    async def _send(self, name: str, payload: dict[str, Any]) -> None:
        await self._app.send_message_json(channel=self.place.name, payload=payload, headers={"topic": name})

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._app.run_worker(register_signals=[], graceful_shutdown_time=1))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

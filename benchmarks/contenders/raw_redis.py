"""What one writes by hand: a stream, read and acked by the hundred with redis-py and hiredis, and deleted when done.

No envelope, no ids that make a repeat safe, no delays, no priorities; a crashed reader's messages wait for a claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

import benchmarks.contender as base
from benchmarks.contender import tally

GROUP = "workers"


class Contender(base.Contender):
    module = "redis.asyncio"
    drained = 40_000

    async def open(self) -> None:
        self._redis = Redis.from_url(f"{self.place.url}?max_connections=1000")  # one for each concurrent call
        with contextlib.suppress(ResponseError):  # the sender's process finds it made
            await self._redis.xgroup_create(self.place.name, GROUP, id="0", mkstream=True)

    async def close(self) -> None:
        await self._redis.aclose()

    async def send(self, payload: dict[str, Any]) -> None:
        await self._redis.xadd(self.place.name, {b"body": json.dumps(payload).encode()})

    async def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        if plain:
            raise NotImplementedError
        async with self._redis.pipeline(transaction=False) as pipeline:
            for _ in range(count):
                pipeline.xadd(self.place.name, {b"body": json.dumps(payload).encode()})
            await pipeline.execute()

    async def send_stamp(self, due: float, delay: float) -> None:
        if delay:
            raise NotImplementedError
        await self.send({"due": due})

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._work())
        yield
        task.cancel()
        await asyncio.wait([task])

    async def _work(self) -> None:
        stream = self.place.name
        async with Redis.from_url(self.place.url, socket_timeout=None) as redis:
            while True:
                for _, entries in await redis.xreadgroup(GROUP, "me", {stream: ">"}, count=100, block=5000):
                    ids = []
                    for entry, fields in entries:
                        payload = json.loads(fields[b"body"])
                        if "due" in payload:
                            tally.began(payload["due"])
                        else:
                            tally.finished()
                        ids.append(entry)
                    async with redis.pipeline(transaction=False) as pipeline:
                        pipeline.xack(stream, GROUP, *ids)
                        pipeline.xdel(stream, *ids)
                        await pipeline.execute()

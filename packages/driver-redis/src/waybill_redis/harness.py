"""What the conformance suite needs to hold this driver to its claims: a Redis server, started for it."""

from __future__ import annotations

import uuid
from datetime import timedelta

from redis.asyncio import Redis

from waybill_conformance import LEASE
from waybill_conformance.brokers import BrokerHarness
from waybill_conformance.brokers.redis import Redis as RedisServer

from .driver import RedisDriver
from .keys import Keys


class RedisHarness(BrokerHarness):
    """Every driver it opens is on one server, under keys of this run's own.

    The server writes its log with every command (`appendfsync always`): that is what a kill of it can prove.
    """

    suite = "0.1"
    broker = RedisServer(fsync="always")

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"conformance-{uuid.uuid4().hex[:8]}"

    async def open(self, *, lease: timedelta = LEASE) -> RedisDriver:
        address = await self.address()
        driver = RedisDriver(address, lease=lease, prefix=self._prefix)
        if "prefix=" not in (self.url or ""):
            self.url = f"{address}{'&' if '?' in address else '?'}prefix={self._prefix}"  # for other processes
        await driver.open()
        return driver

    async def raw(self, queue: str, body: bytes) -> None:
        names = Keys(self._prefix)
        jobs, ready, *_ = names.of(queue)
        job_id = f"raw-{uuid.uuid4().hex}"
        address, _, _ = (await self.address()).partition("?")
        async with Redis.from_url(address) as client, client.pipeline() as together:
            together.hset(jobs, job_id, body)
            together.zadd(ready, {job_id: 0})
            together.rpush(names.wake(queue), "1")
            await together.execute()

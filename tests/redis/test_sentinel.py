"""Sentinels: the driver finds the master, and the next one after a failover."""

import asyncio
import time
from dataclasses import dataclass

import pytest

from waybill.errors import BrokerUnavailableError, EnqueueUnknownError
from waybill_conformance.brokers import Command
from waybill_conformance.brokers.redis import Redis
from waybill_redis import RedisDriver

from .conftest import NOW, ids, port_of


@dataclass(frozen=True)
class Sentinel(Redis):
    """One that promotes the replica half a second after the master has gone."""

    master: int = 0

    def commands(self, site):
        settings = site.folder / "sentinel.conf"
        settings.write_text(
            f"port {site.port}\nbind 127.0.0.1\nsentinel monitor jobs 127.0.0.1 {self.master} 1\n"
            "sentinel down-after-milliseconds jobs 500\nsentinel failover-timeout jobs 2000\n"
        )
        return [Command([site.program, str(settings), "--sentinel"])]


@pytest.fixture
async def sentinel(serve, server):
    """It watches over the server and a replica of it."""
    await serve("--replicaof", "127.0.0.1", str(port_of(server)), fsync="always")
    return await serve(kind=Sentinel(master=port_of(server)))


async def until_it_works(call):
    end = time.monotonic() + 20
    while True:
        try:
            return await call()
        except (BrokerUnavailableError, EnqueueUnknownError):
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


async def test_after_a_failover_the_next_master_is_found_and_confirmed_jobs_are_there(server, sentinel, message):
    url = f"redis://127.0.0.1:1,127.0.0.1:{port_of(sentinel)}/0?sentinel=jobs&wait_replicas=1&timeout=2s"
    driver, after = RedisDriver(url), RedisDriver(url.replace("wait_replicas=1", "wait_replicas=0"))
    await driver.open()
    await until_it_works(lambda: driver.enqueue(message("before")))
    await asyncio.sleep(1.5)  # until the Sentinel knows of the replica
    confirmed = {"before"}

    async def send(number):
        while len(confirmed) < 10_000:
            try:
                confirmed.add(await driver.enqueue(message(f"{number}-{len(confirmed)}")))
            except (BrokerUnavailableError, EnqueueUnknownError):
                return  # the master has gone

    sending = [asyncio.create_task(send(number)) for number in range(20)]
    await asyncio.sleep(0.5)
    await asyncio.to_thread(server.kill)
    await asyncio.gather(*sending)
    assert 20 < len(confirmed) < 10_000
    await until_it_works(after.open)
    found = await until_it_works(lambda: after.receive("q", limit=20_000, wait=NOW))
    assert confirmed <= set(ids(found))
    assert await after.ack_batch(found) == [None] * len(found)
    await driver.close()
    await after.close()


async def test_a_name_that_no_sentinel_knows_is_told(sentinel):
    with pytest.raises(BrokerUnavailableError, match="knows no master 'other'"):
        await RedisDriver(f"redis://127.0.0.1:{port_of(sentinel)}/0?sentinel=other").open()

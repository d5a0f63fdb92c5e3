"""Sentinels: the driver finds the master, and the next one after a failover."""

import asyncio
import time

import pytest

from waybill.errors import BrokerUnavailableError, EnqueueUnknownError
from waybill_redis import RedisDriver

from .conftest import NOW, Process, ids


@pytest.fixture
def replica(server):
    process = Process("--replicaof", "127.0.0.1", str(server.port))
    yield process
    process.stop()


@pytest.fixture
def sentinel(server, replica, tmp_path):
    """One that promotes the replica half a second after the master has gone."""
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"sentinel monitor jobs 127.0.0.1 {server.port} 1\nsentinel down-after-milliseconds jobs 500\n"
        "sentinel failover-timeout jobs 2000\n"
    )
    process = Process(file=settings, sentinel=True)
    yield process
    process.stop()


async def until_it_works(call):
    end = time.monotonic() + 20
    while True:
        try:
            return await call()
        except (BrokerUnavailableError, EnqueueUnknownError):
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


async def test_after_a_failover_the_next_master_is_found_and_confirmed_jobs_are_there(server, sentinel, message):
    url = f"redis://127.0.0.1:1,127.0.0.1:{sentinel.port}/0?sentinel=jobs&wait_replicas=1&timeout=2s"
    driver = RedisDriver(url)
    await driver.open()
    await until_it_works(lambda: driver.enqueue(message("before")))
    await asyncio.sleep(1.5)  # until the Sentinel knows of the replica
    server.kill()
    found = await until_it_works(lambda: driver.receive("q", limit=1, wait=NOW))
    assert ids(found) == ["before"]
    await until_it_works(lambda: driver.ack(found[0]))
    await driver.close()


async def test_a_name_that_no_sentinel_knows_is_told(sentinel):
    with pytest.raises(BrokerUnavailableError, match="knows no master 'other'"):
        await RedisDriver(f"redis://127.0.0.1:{sentinel.port}/0?sentinel=other").open()

"""Three servers that keep each job three times: the leader may die, and nothing is lost or doubled."""

import asyncio
import contextlib
import time
from datetime import timedelta

import pytest

from waybill.errors import BrokerUnavailableError, ConfigurationError, EnqueueUnknownError
from waybill_conformance.brokers.ports import free_port
from waybill_nats import NatsDriver

from .conftest import Process, client, everything, take

CONFIG = """
server_name: {name}
jetstream {{{{ store_dir: {{folder}}/js }}}}
cluster {{{{ name: test, listen: 127.0.0.1:{port}, routes: [{routes}] }}}}
"""


@pytest.fixture(params=["this machine's", "the newest"])
def cluster(request, program, newest):
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
    configs = [CONFIG.format(name=f"n{n}", port=port, routes=routes) for n, port in enumerate(ports)]
    started = []
    try:
        for n, config in enumerate(configs):
            started.append(Process(program if request.param == "this machine's" else newest, config, f"n{n}"))
        yield started
    finally:
        for each in started:
            each.stop()


async def ready(url, seconds=30):
    """A driver on a cluster that has found its leader."""
    end = time.monotonic() + seconds
    while True:
        driver = NatsDriver(url, replicas=3, lease="20s", timeout="5s")
        try:
            await driver.open()
            return driver
        except (BrokerUnavailableError, ConfigurationError):
            await driver.close()
            assert time.monotonic() < end, "the cluster has no leader"
            await asyncio.sleep(0.2)


@pytest.mark.timeout(120)
async def test_the_death_of_the_leader_loses_nothing_and_repeats_by_id_double_nothing(cluster, namespace, message):
    hosts = ",".join(each.url.removeprefix("nats://") for each in cluster)
    driver = await ready(f"nats://{hosts}/{namespace}")
    assert driver.capabilities.durability == "replicated"
    await driver.enqueue(message("first"))
    accepted, repeated, going = {"first"}, set(), True

    async def publish():
        while going:
            one = message()
            while True:
                try:
                    await driver.enqueue(one)
                    accepted.add(one.id)
                    break
                except (EnqueueUnknownError, BrokerUnavailableError):
                    repeated.add(one.id)
                    await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(publish()) for _ in range(8)]
    await asyncio.sleep(0.5)
    async with client(cluster[0].url) as (_, api):
        leader = (await api(f"STREAM.INFO.{namespace}_q"))["cluster"]["leader"]
    next(each for each in cluster if each.name == leader).kill()
    before = len(accepted)
    end = time.monotonic() + 30
    while len(accepted) < before + 100 and time.monotonic() < end:
        await asyncio.sleep(0.1)
    blocked_until = time.monotonic()
    going = False
    await asyncio.gather(*tasks)
    assert blocked_until < end, "no job was taken within 30 s of the leader's death"
    survivor = next(each for each in cluster if each.name != leader)
    async with client(survivor.url) as (_, api):
        assert (await api(f"STREAM.INFO.{namespace}_q"))["cluster"]["leader"] != leader, "the leader lives"
    found = {}
    while len(found) < len(accepted):
        try:
            found |= await everything(driver, len(accepted) - len(found), seconds=20)
        except BrokerUnavailableError:
            await asyncio.sleep(0.2)
        assert time.monotonic() < end + 40
    assert set(found) == accepted
    with contextlib.suppress(BrokerUnavailableError):
        assert await take(driver, wait=timedelta(seconds=0.5)) == [], "a repeat by id was stored twice"
    await driver.close()

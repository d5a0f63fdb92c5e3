"""A Redis server of the tests' own, and drivers on keys of each test's own."""

import asyncio
import uuid
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from waybill.driver import Message
from waybill_conformance.brokers import broker_or_skip
from waybill_redis import RedisDriver

NOW = timedelta()
SOON = timedelta(seconds=5)


@pytest.fixture(scope="session")
def shared():
    """The server that most tests share."""
    with broker_or_skip("redis") as broker:
        yield broker


@pytest.fixture
async def serve():
    """Starts servers that a test may do anything to, as processes: with options, or of a kind of their own."""
    started = []

    async def serve(*options, kind=None, **settings):
        given = (kind,) if kind is not None else ("redis",)
        settings = settings | ({"options": options} if options else {})
        started.append(await asyncio.to_thread(broker_or_skip, *given, how="process", **settings))
        return started[-1]

    yield serve
    for broker in reversed(started):
        await asyncio.to_thread(broker.stop)


@pytest.fixture
async def server(serve):
    """One of a test's own; killed at any moment, it has what it confirmed."""
    return await serve(fsync="always")


@pytest.fixture
def prefix():
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def connect(shared, prefix):
    """Opens a driver under the test's prefix; on the shared server, unless another URL is given."""
    opened = []

    async def connect(url=shared.direct_url, **options):
        driver = RedisDriver(url, **{"prefix": prefix, **options})
        opened.append(driver)
        await driver.open()
        return driver

    yield connect
    for driver in opened:
        await driver.close()


@pytest.fixture
async def driver(connect):
    return await connect()


@pytest.fixture
async def redis(shared):
    """A plain client of the shared server."""
    async with Redis.from_url(shared.direct_url) as client:
        yield client


def port_of(broker):
    return urlsplit(broker.direct_url).port


@pytest.fixture
def message():
    """Makes messages with ids 1, 2, 3…, or the id it is given."""
    made = iter(range(1, 1_000_000))

    def message(job_id=None, queue="q", body=b"{}", **fields):
        return Message(job_id or str(next(made)), queue, body, **fields)

    return message


@pytest.fixture
def take(driver):
    """Receives what is there, without waiting."""

    async def take(limit=100, queue="q", by=None):
        return list(await (by or driver).receive(queue, limit=limit, wait=NOW))

    return take


def ids(deliveries):
    return [delivery.message.id for delivery in deliveries]


async def passed(seconds):
    """Real time, as the server's clock is the only one."""
    await asyncio.sleep(seconds)

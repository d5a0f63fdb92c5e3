"""A harness whose broker is started for it has every power that the broker can bear."""

import asyncio
import socket
from urllib.parse import urlsplit

import pytest

from waybill_conformance.brokers import BrokerHarness, broker_or_skip
from waybill_conformance.harness import powers


class RedisHarness(BrokerHarness):
    broker = "redis"

    async def open(self, *, lease=None):
        raise NotImplementedError


def answers(url):
    """Whether the server behind the URL speaks."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=2) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16)


@pytest.fixture
def available():
    broker_or_skip("redis").stop()


@pytest.fixture
async def harness(available):
    made = RedisHarness()
    yield made
    await made.close()


@pytest.mark.broker
async def test_it_starts_its_broker_once_and_ends_it(harness):
    url = await harness.address()
    assert await harness.address() == url == harness.url
    assert answers(url) == b"+PONG\r\n"
    await harness.close()
    with pytest.raises(OSError, match="refused"):
        answers(url)


@pytest.mark.broker
async def test_it_restarts_pauses_and_cuts(harness):
    url = await harness.address()
    await harness.restart()
    assert answers(url) == b"+PONG\r\n"
    await harness.pause()
    with pytest.raises(TimeoutError):
        answers(url)
    await harness.resume()
    await harness.cut()
    assert answers(url) == b"+PONG\r\n"
    assert powers(harness) == {"restart", "pause", "cut", "network", "url"}


async def test_a_broker_that_is_somebody_elses_is_neither_restarted_nor_cut():
    harness = RedisHarness()
    harness.url = "redis://somewhere/0"
    assert await harness.address() == "redis://somewhere/0"
    assert powers(harness) == {"url"}
    with pytest.raises(RuntimeError, match="not this harness's"):
        await harness.restart()


def test_a_broker_named_by_the_environment_is_cut_but_not_restarted(monkeypatch):
    broker = broker_or_skip("redis")
    monkeypatch.setenv("WAYBILL_REDIS_URL", broker.direct_url)
    harness = RedisHarness()
    try:
        asyncio.run(harness.address())
        assert powers(harness) == {"cut", "network", "url"}
    finally:
        asyncio.run(harness.close())
        broker.stop()

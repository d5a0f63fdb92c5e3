"""A Redis server of the tests' own, and drivers on keys of each test's own."""

import asyncio
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from waybill.driver import Message
from waybill_conformance.brokers import broker_or_skip
from waybill_redis import RedisDriver

NOW = timedelta()
SOON = timedelta(seconds=5)


class Process:
    """A redis-server on a free port, with its data in a folder of its own."""

    def __init__(self, *options, file=None, sentinel=False):
        self.file = [] if file is None else [str(file)]
        self.mode = ["--sentinel"] if sentinel else []
        self.folder = tempfile.mkdtemp(prefix="waybill-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.options = options
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self, *options):
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder)
        if not self.mode:
            place += ("--save", "")
        self.process = subprocess.Popen(
            ["redis-server", *self.file, *place, *self.options, *options, *self.mode], stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64)[:5] in (b"+PONG", b"-NOAU"):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        self.stop()
        raise RuntimeError("redis-server does not start")

    def kill(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.kill()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session", autouse=True)
def installed():
    """The server's program, installed where it can be."""
    broker_or_skip("redis", how="process").stop()


@pytest.fixture(scope="session")
def shared(installed):
    """The server that most tests share."""
    process = Process("--appendonly", "yes")
    yield process
    process.stop()


@pytest.fixture
def server():
    """A server that a test may do anything to; killed at any moment, it has what it confirmed."""
    process = Process("--appendonly", "yes", "--appendfsync", "always")
    yield process
    process.stop()


@pytest.fixture
def prefix():
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def connect(shared, prefix):
    """Opens a driver under the test's prefix; on the shared server, unless another URL is given."""
    opened = []

    async def connect(url=shared.url, **options):
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
    async with Redis(port=shared.port) as client:
        yield client


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

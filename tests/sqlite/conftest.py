"""Drivers on files of the test's own, closed at its end, and processes that end with it."""

import signal
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from waybill.driver import Message
from waybill.testing import VirtualClock
from waybill_sqlite import SqliteDriver

PEER = Path(__file__).with_name("peer.py")
SOON = timedelta(seconds=5)
NOW = timedelta()


@pytest.fixture
def path():
    """A file alone in its directory; not in tmp_path, whose name may be too long for sockets."""
    with tempfile.TemporaryDirectory(prefix="waybill-") as directory:
        yield Path(directory).resolve() / "jobs.db"


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
async def connect(path):
    """Opens a driver on the real clock; the same file each time, unless another is named."""
    opened = []

    async def connect(file=path, **options):
        driver = SqliteDriver(file, **options)
        opened.append(driver)
        await driver.open()
        return driver

    yield connect
    for driver in opened:
        await driver.close()


@pytest.fixture
async def driver(connect, clock):
    """An open driver on a virtual clock."""
    return await connect(clock=clock)


@pytest.fixture
def message():
    """Makes messages with ids 1, 2, 3…, or the id it is given."""
    made = iter(range(1, 1_000_000))

    def message(job_id=None, queue="q", body=b"{}", **fields):
        return Message(job_id or str(next(made)), queue, body, **fields)

    return message


@pytest.fixture
def peer(path):
    """Starts another process on the file: `peer("count", "q")` runs the function `count` of peer.py."""
    started = []

    def start(verb, *arguments, wait_for=None):
        process = subprocess.Popen(
            [sys.executable, str(PEER), verb, str(path), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        if wait_for is not None:
            assert process.stdout.readline().strip() == wait_for
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


@pytest.fixture
def take(driver):
    """Receives what is there, without waiting."""

    async def take(limit=100, queue="q", by=None):
        return list(await (by or driver).receive(queue, limit=limit, wait=NOW))

    return take


def ids(deliveries):
    return [delivery.message.id for delivery in deliveries]

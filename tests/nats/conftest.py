"""NATS servers of the tests' own, and drivers in a namespace of each test's own."""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from datetime import timedelta
from pathlib import Path

import nats
import pytest

from waybill.driver import Message
from waybill_conformance.brokers import broker_or_skip
from waybill_conformance.brokers.archive import program_of
from waybill_conformance.brokers.ports import free_port
from waybill_nats import NatsDriver

NOW = timedelta()
SOON = timedelta(seconds=5)


class Process:
    """A nats-server on a free port, with its data in a folder of its own."""

    def __init__(self, program, config="jetstream {{ store_dir: {folder}/js }}", name=""):
        self.folder, self.port, self.name = Path(tempfile.mkdtemp(prefix="waybill-")), free_port(), name
        self.program, self.config = program, config
        self.url = f"nats://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        file = self.folder / "nats.conf"
        file.write_text(self.config.format(folder=self.folder))
        command = [self.program, "-c", str(file), "-a", "127.0.0.1", "-p", str(self.port)]
        log = self.folder / "log"
        log.write_text("")
        self.process = subprocess.Popen([*command, "-l", str(log)])
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if "Server is ready" in log.read_text():
                return
            time.sleep(0.01)
        self.stop()
        raise RuntimeError("nats-server does not start")

    def kill(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.kill()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def program():
    """The server of this machine's own release, installed where it can be."""
    with broker_or_skip("nats", how="process") as broker:
        return broker.kind.find()


@pytest.fixture(scope="session")
def newest():
    """The server that Debian's archive has as its newest."""
    found = program_of("nats-server", "sid", "nats-server")
    if found is None:
        pytest.skip("NO BROKER, NOT TESTED: apt cannot fetch nats-server of sid here")
    return found


@pytest.fixture(scope="session")
def shared(program):
    """The server that most tests share."""
    process = Process(program)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def modern(newest):
    """The same, of the newest version."""
    process = Process(newest)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def middle():
    """NATS 2.10: newer than this machine's, and without schedules."""
    found = program_of("nats-server", "trixie", "nats-server")
    if found is None:
        pytest.skip("NO BROKER, NOT TESTED: apt cannot fetch nats-server of trixie here")
    process = Process(found)
    yield process
    process.stop()


@pytest.fixture
def server(program):
    """A server that a test may do anything to."""
    process = Process(program)
    yield process
    process.stop()


@pytest.fixture
def nowhere():
    """Where nobody listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def namespace():
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def connect(shared, namespace):
    """Opens a driver in the test's namespace; on the shared server, unless another URL is given."""
    opened = []

    async def connect(url=shared.url, **options):
        driver = NatsDriver(f"{url}/{namespace}" if url.count("/") == 2 else url, **options)
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
def message():
    """Makes messages with ids 1, 2, 3…, or the id it is given."""
    made = iter(range(1, 1_000_000))

    def message(job_id=None, queue="q", body=b'{"jobName":"test"}', **fields):
        return Message(job_id or str(next(made)), queue, body, **fields)

    return message


@contextlib.asynccontextmanager
async def client(url):
    """A plain client, and JetStream's API."""
    connection = await nats.connect(url, allow_reconnect=False)

    async def api(verb, **request):
        answer = await connection.request(f"$JS.API.{verb}", json.dumps(request).encode() if request else b"")
        return json.loads(answer.data)

    try:
        yield connection, api
    finally:
        await connection.close()


async def take(driver, queue="q", limit=100, wait=SOON):
    return list(await driver.receive(queue, limit=limit, wait=wait))


async def everything(driver, count, queue="q", seconds=30):
    """Receive and ack until so many different messages have come."""
    found, end = {}, time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        got = await take(driver, queue, wait=timedelta(seconds=0.3))
        found |= {each.message.id: each for each in got}
        await driver.ack_batch(got)
    return found


async def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come to that"
        await asyncio.sleep(0.01)

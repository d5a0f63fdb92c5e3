"""A RabbitMQ server of the tests' own, and drivers with queues of each test's own."""

import asyncio
import os
import subprocess
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pika
import pytest

from waybill.driver import Message
from waybill.errors import BrokerUnavailableError
from waybill_conformance.brokers import broker_or_skip
from waybill_conformance.brokers.rabbitmq import NODE_FOLDER, RabbitMq
from waybill_rabbitmq import RabbitMQDriver

NOW = timedelta()
SOON = timedelta(seconds=10)


@dataclass(frozen=True)
class Tuned(RabbitMq):
    """With further lines in its configuration, or terms of Erlang for what these cannot say."""

    settings: str = ""
    terms: str = ""

    def commands(self, site):
        made = super().commands(site)
        with (site.folder / "rabbitmq.conf").open("a") as file:
            file.write(self.settings)
        (site.folder / "none.config").write_text(f"[{{rabbit, [{self.terms}]}}].")
        return made


def start(**settings):
    """A server of its own, as child processes, so that it can be told things."""
    return broker_or_skip(Tuned(**settings), how="process")


def control(broker, *command):
    """What rabbitmqctl says."""
    site = broker._server._site
    environment = {**os.environ, **broker.kind.commands(site)[-1].env}
    tool = [f"{NODE_FOLDER}/rabbitmqctl", "-n", environment["RABBITMQ_NODENAME"], *command]
    done = subprocess.run(tool, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def shared():
    """The server that most tests share."""
    with start() as broker:
        yield broker


@pytest.fixture
def prefix():
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def connect(shared, prefix):
    """Opens a driver with the test's prefix; on the shared server, unless another URL is given."""
    opened = []

    async def connect(url=shared.url, **options):
        driver = RabbitMQDriver(url, **{"prefix": prefix, **options})
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

    def message(job_id=None, queue="q", body=b"{}", **fields):
        return Message(job_id or str(next(made)), queue, body, **fields)

    return message


@contextmanager
def plainly(broker):
    """A plain client of the server, on a channel."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.direct_url))
    try:
        yield connection.channel()
    finally:
        connection.close()


async def by_hand(broker, work):
    """What a plain client does, in a thread."""

    def do():
        with plainly(broker) as channel:
            return work(channel)

    return await asyncio.to_thread(do)


async def take(driver, count=1, queue="q", wait=SOON):
    """So many deliveries, which must come."""
    got = []
    while len(got) < count:
        some = await driver.receive(queue, limit=count - len(got), wait=wait)
        assert some, f"{len(got)} of {count} came"
        got += some
    return got


async def again(verb, *arguments, **keywords):
    """What a verb returns once the server is back."""
    for _ in range(200):
        try:
            return await verb(*arguments, **keywords)
        except BrokerUnavailableError:
            await asyncio.sleep(0.1)
    raise AssertionError("the driver does not come back")


def ids(deliveries):
    return [delivery.message.id for delivery in deliveries]

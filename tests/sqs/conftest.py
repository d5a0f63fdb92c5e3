"""An emulator of AWS that the tests share, drivers with a prefix of each test's own, and an AWS on a bad day."""

import asyncio
import contextlib
import uuid
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from waybill.driver import Message
from waybill_conformance.brokers import broker_or_skip
from waybill_sqs import SqsDriver

from .faults import FaultyAws

NOW = timedelta()
SOON = timedelta(seconds=5)
TABLE = "waybill"


@pytest.fixture(scope="session")
def emulator():
    """The one that most tests share."""
    with broker_or_skip("ministack") as broker:
        tell = Clients(endpoint_of(broker.direct_url))
        make_table(tell)
        tell.close()
        yield broker


def endpoint_of(url):
    return parse_qs(urlsplit(url).query)["endpoint_url"][0]


class Clients:
    """boto3's clients of an emulator, as another program has them."""

    def __init__(self, endpoint):
        self._endpoint = endpoint
        self._made = {}

    def __getattr__(self, service):
        if service not in self._made:
            self._made[service] = boto3.client(
                service,
                region_name="us-east-1",
                endpoint_url=self._endpoint,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._made[service]

    def close(self):
        for each in self._made.values():
            each.close()


def make_table(tell, name=TABLE):
    tell.dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )


@pytest.fixture
def endpoint(emulator):
    return endpoint_of(emulator.direct_url)


@pytest.fixture
def aws(endpoint):
    """Another program's clients."""
    with contextlib.closing(Clients(endpoint)) as clients:
        yield clients


@pytest.fixture
def faulty(endpoint):
    """The emulator behind a server that counts calls and fails some on purpose."""
    server = FaultyAws(endpoint)
    yield server
    server.close()


@pytest.fixture
def prefix():
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def connect(emulator, prefix):
    """Opens a driver under the test's prefix, on the shared emulator unless another is given."""
    opened = []

    async def connect(endpoint_url=None, **options):
        endpoint_url = endpoint_url or endpoint_of(emulator.direct_url)
        driver = SqsDriver(
            "sqs://test:secret@us-east-1", **{"endpoint_url": endpoint_url, "prefix": prefix, "poll": "1s", **options}
        )
        opened.append(driver)
        await driver.open()
        return driver

    yield connect
    await asyncio.gather(*(driver.close() for driver in opened))


@pytest.fixture
async def driver(connect):
    return await connect()


@pytest.fixture
def message():
    """Makes messages with ids 1, 2, 3…, or the id it is given."""
    made = iter(range(1, 1_000_000))

    def message(job_id=None, queue="q", body=b'{"jobName":"x"}', **fields):
        return Message(job_id or str(next(made)), queue, body, **fields)

    return message


@pytest.fixture
def take(driver):
    """Receives what is there soon."""

    async def take(limit=1, queue="q", by=None, wait=SOON):
        return list(await (by or driver).receive(queue, limit=limit, wait=wait))

    return take


@pytest.fixture
def ids():
    return lambda deliveries: [delivery.message.id for delivery in deliveries]

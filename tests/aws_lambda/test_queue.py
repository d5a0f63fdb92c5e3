"""On a real server of SQS's interface: what becomes of messages between a queue, a function and the queue again."""

import asyncio
import contextlib
import itertools
import time
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
from botocore.config import Config

from waybill import DuplicateJobError, JobService, PermanentJobError, Retry, TransientJobError, Unique, job
from waybill.url import BrokerUrl
from waybill_conformance.brokers import broker_or_skip
from waybill_sqs.names import Names, Place
from waybill_sqs.records import to_body

SETTINGS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def client_of(url, service="sqs"):
    """A plain client for the emulator that a driver's URL names."""
    parsed = BrokerUrl.parse(url)
    endpoint = dict(parsed.query)["endpoint_url"]
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


class Poller:
    """What Lambda's event source mapping with ReportBatchItemFailures does: hands batches of one queue to a handler, and deletes what the answer does not name."""

    def __init__(self, client, name, handler):
        self.client, self.handler = client, handler
        self.url = client.get_queue_url(QueueName=name)["QueueUrl"]
        told = client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = told["Attributes"]["QueueArn"]

    def receive(self, wait=1, visibility=30):
        answer = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            VisibilityTimeout=visibility,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [self._record(each) for each in answer.get("Messages", [])]

    def receive_all(self, count, **options):
        records = []
        while len(records) < count:
            records += self.receive(**options)
        return records

    def _record(self, message):
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.arn,
            "awsRegion": "us-east-1",
        }

    def invoke(self, records, context=None):
        """The identifiers that the answer names."""
        answer = self.handler({"Records": records}, context)
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        for each in records:
            if each["messageId"] not in failed:
                # What the driver has deleted already: AWS does not mind, this emulator does.
                with contextlib.suppress(self.client.exceptions.ReceiptHandleIsInvalid):
                    self.client.delete_message(QueueUrl=self.url, ReceiptHandle=each["receiptHandle"])
        return failed

    def poll(self, context=None, **options):
        """One batch, if there is one: how many records it had, and which failed."""
        records = self.receive(**options)
        return (len(records), self.invoke(records, context)) if records else (0, set())

    def counts(self):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return tuple(int(told[name]) for name in names)


@pytest.fixture(scope="session")
def emulator():
    broker = broker_or_skip("ministack")
    yield broker.url
    broker.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def prefix():
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
def stack(emulator, prefix, bootstrap):
    """A service of some jobs, and what polls each of its queues for the function that runs them."""
    pollers = []

    def make(*jobs, fifo=False, table=False, **options):
        url = f"{emulator}&prefix={prefix}&poll=1s&fifo={str(fifo).lower()}"
        if table:
            database = client_of(emulator, "dynamodb")
            pollers.append(database)
            database.create_table(
                TableName=prefix,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            )
            url += f"&table={prefix}"
        service = JobService(url, jobs=jobs)
        handler = bootstrap(service=service, **options)
        client = client_of(emulator)
        pollers.append(client)

        def poller(queue="default", part=""):
            return Poller(client, Names(prefix, fifo).of(Place(queue, part)), handler)

        return SimpleNamespace(service=service, send=service.sync, handler=handler, poller=poller, client=client)

    yield make
    for client in pollers:
        client.close()


@pytest.fixture
def ran():
    return []


@pytest.fixture
def step(ran):
    @job(retry=Retry(max_attempts=3, backoff="1s"))
    async def step(payload, ctx):
        ran.append((payload, ctx.attempt))
        if payload == "fails":
            raise RuntimeError("no")
        if payload == "fails once" and ctx.attempt == 1:
            raise TransientJobError("later", retry_after=3)
        if payload == "hopeless":
            raise PermanentJobError("never")

    return step


def test_what_ends_well_is_gone_and_what_is_given_up_is_a_dead_letter_with_its_reason(stack, step, ran):
    it = stack(step)
    for each in ("fine", "hopeless"):
        it.send.enqueue(step, each)
    poller = it.poller()
    assert poller.poll() == (2, set())
    assert sorted(ran) == [("fine", 1), ("hopeless", 1)]
    assert poller.counts() == (0, 0)
    [letter] = it.send.dead_letters("default").entries
    assert (letter.message.payload, letter.reason.code, letter.reason.error) == ("hopeless", "permanent", "never")
    assert it.send.retry_dead("default") == 1
    assert poller.poll() == (1, set())
    assert len(ran) == 3


def test_a_retry_comes_after_its_own_delay_and_not_after_the_visibility_timeout(stack, step, ran):
    it = stack(step)
    it.send.enqueue(step, "fails once")
    poller = it.poller()
    begun = time.monotonic()
    count, failed = poller.poll(visibility=30)
    assert (count, len(failed)) == (1, 1)
    while not poller.poll(visibility=30)[0]:
        pass
    assert ran == [("fails once", 1), ("fails once", 2)]
    assert 2.9 < time.monotonic() - begun < 25
    assert poller.counts() == (0, 0)


def test_attempts_are_counted_until_the_last_one(stack, step, ran):
    it = stack(step)
    it.send.enqueue(step, "fails")
    poller = it.poller()
    begun = time.monotonic()
    while len(ran) < 3 and time.monotonic() - begun < 20:
        poller.poll()
    assert ran == [("fails", 1), ("fails", 2), ("fails", 3)]
    assert poller.counts() == (0, 0)
    assert [each.reason.code for each in it.send.dead_letters("default").entries] == ["exhausted"]


def test_what_nobody_can_read_is_a_dead_letter_and_not_named(stack, step):
    it = stack(step)
    it.send.enqueue(step, "fine")
    poller = it.poller()
    it.client.send_message(QueueUrl=poller.url, MessageBody="not-json")
    seen = 0
    while seen < 2:
        count, failed = poller.poll()
        seen += count
        assert failed == set()
    [letter] = it.send.dead_letters("default").entries
    assert (letter.reason.code, letter.message.body) == ("undecodable", b"not-json")


def test_what_has_not_ended_or_begun_in_time_is_there_again_at_once_without_an_attempt(stack, ran):
    @job
    async def slow(payload, ctx):
        ran.append((payload, ctx.attempt))
        if payload == "first" and len(ran) == 1:
            await asyncio.sleep(30)

    it = stack(slow, concurrency=1)
    it.send.enqueue_batch([(slow, "first"), (slow, "second")])
    poller = it.poller()
    records = poller.receive_all(2, visibility=60)
    records.sort(key=lambda each: "first" not in each["body"])
    failed = poller.invoke(records, SimpleNamespace(get_remaining_time_in_millis=lambda: 2000))
    assert failed == {each["messageId"] for each in records}
    assert ran == [("first", 1)]
    begun = time.monotonic()
    assert poller.invoke(poller.receive_all(2)) == set()
    assert time.monotonic() - begun < 40
    assert sorted(ran[1:]) == [("first", 1), ("second", 1)]


def test_one_that_comes_early_waits_for_the_rest_of_its_time(stack, step, ran):
    it = stack(step)
    it.send.enqueue(step, "fine")  # so that the queue is there
    poller = it.poller()
    poller.poll()
    prepared = it.service.rules.prepare(step, "later")
    due = datetime.now(UTC) + timedelta(seconds=3)
    it.client.send_message(QueueUrl=poller.url, MessageBody=to_body(prepared.message, due))
    count, failed = poller.poll()
    assert (count, failed) == (1, set())
    assert len(ran) == 1
    begun = time.monotonic()
    while len(ran) < 2 and time.monotonic() - begun < 10:
        poller.poll()
    assert ran[1:] == [("later", 1)]
    assert datetime.now(UTC) >= due


def test_a_message_of_a_typescript_producer_runs(stack, step, ran):
    it = stack(step)
    it.send.enqueue(step, "fine")
    poller = it.poller()
    poller.poll()
    body = '{"jobName":"step","payload":"theirs","jobId":"u1","enqueuedAt":"2025-01-01T00:00:00.000Z"}'
    name = {"JobName": {"DataType": "String", "StringValue": "step"}}
    it.client.send_message(QueueUrl=poller.url, MessageBody=body, MessageAttributes=name)
    assert poller.poll() == (1, set())
    assert ran[1:] == [("theirs", 1)]


def test_a_queue_that_the_driver_does_not_know_is_served_all_the_same(stack, step, ran, prefix, caplog):
    it = stack(step)
    it.client.create_queue(QueueName=f"other-{prefix}")
    poller = Poller(it.client, f"other-{prefix}", it.handler)
    for each in ("fine", "fails"):
        it.client.send_message(QueueUrl=poller.url, MessageBody=f'{{"jobName":"step","payload":"{each}"}}')
    failed = set()
    while len(ran) < 2:
        failed |= poller.poll(visibility=20)[1]
    assert len(failed) == 1
    assert poller.counts() == (0, 1)  # until its visibility timeout
    assert "none of this application's queues" in caplog.text


def test_a_fifo_group_keeps_its_order_through_a_retry(stack, ran):
    @job(group=lambda payload: payload[0], retry=Retry(max_attempts=5, backoff="1s"))
    async def ordered(payload, ctx):
        ran.append(payload)
        if payload == "a2" and ctx.attempt == 1:
            raise RuntimeError("once")

    it = stack(ordered, fifo=True)
    it.send.enqueue_batch([(ordered, each) for each in ("a1", "a2", "b1", "a3", "b2", "a4")])
    poller = it.poller()
    begun = time.monotonic()
    while len(ran) < 7 and time.monotonic() - begun < 20:
        poller.poll()
    assert [each for each in ran if each[0] == "a"] == ["a1", "a2", "a2", "a3", "a4"]
    assert [each for each in ran if each[0] == "b"] == ["b1", "b2"]
    assert poller.counts() == (0, 0)


def test_a_delayed_job_of_a_fifo_queue_comes_from_its_companion(stack, ran):
    @job(group="g")
    async def ordered(payload):
        ran.append(payload)

    it = stack(ordered, fifo=True)
    it.send.enqueue(ordered, "now")
    it.send.enqueue_in(ordered, "later", "2s")
    later, poller = it.poller(part="later"), it.poller()
    begun = time.monotonic()
    for each in itertools.cycle((later, poller)):
        each.poll(wait=0)
        if len(ran) == 2 or time.monotonic() - begun > 15:
            break
    assert ran == ["now", "later"]
    assert time.monotonic() - begun >= 1.9
    assert later.counts() == poller.counts() == (0, 0)


def test_a_dead_letter_of_a_fifo_queue_is_kept_each_time_it_dies(stack, step):
    it = stack(step, fifo=True)
    it.send.enqueue(step, "hopeless")
    poller = it.poller()
    for _ in range(2):  # within the five minutes in which SQS takes a repeat for a duplicate
        poller.invoke(poller.receive_all(1))
        assert len(it.send.dead_letters("default").entries) == 1
        assert it.send.retry_dead("default") == 1


def test_what_is_given_up_in_a_direct_invocation_is_a_dead_letter_too(stack, step):
    it = stack(step)
    with pytest.raises(PermanentJobError):
        it.handler({"jobName": "step", "payload": "hopeless"}, None)
    [letter] = it.send.dead_letters("default").entries
    assert (letter.message.payload, letter.reason.code) == ("hopeless", "permanent")


def test_a_receipt_that_is_stale_leaves_the_message_to_its_new_holder(stack, step, ran):
    it = stack(step)
    it.send.enqueue(step, "fails")
    poller = it.poller()
    first = poller.receive(visibility=1)
    second = poller.receive_all(1)
    assert poller.invoke(first) == {first[0]["messageId"]}
    assert poller.invoke(second) == {second[0]["messageId"]}
    assert [each[1] for each in ran] == [1, 2]


@pytest.mark.parametrize("payload", ["fine", "hopeless"])
def test_a_unique_key_is_free_once_the_job_is_done_or_dead(stack, ran, payload):
    @job(unique=Unique(key=str, on_conflict="raise"))
    async def once(payload):
        ran.append(payload)
        if payload == "hopeless":
            raise PermanentJobError("never")

    it = stack(once, table=True)
    it.send.enqueue(once, payload)
    with pytest.raises(DuplicateJobError):
        it.send.enqueue(once, payload)
    assert it.poller().poll() == (1, set())
    it.send.enqueue(once, payload)
    assert it.poller().poll() == (1, set())
    assert ran == [payload, payload]
    assert len(it.send.dead_letters("default").entries) == (2 if payload == "hopeless" else 0)

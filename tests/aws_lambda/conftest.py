"""A Lambda handler on a memory driver, and events as SQS spells them."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from waybill import JobService
from waybill.testing import MemoryDriver, VirtualClock
from waybill_sqs import bootstrap_worker

ARN = "arn:aws:sqs:eu-west-1:123456789012:waybill-default"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in ("WAYBILL_APP", "WAYBILL_URL", "WAYBILL_QUEUES", "WAYBILL_DEFAULT_QUEUE", "AWS_LAMBDA_FUNCTION_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def driver(clock):
    return MemoryDriver(clock=clock)


@pytest.fixture
def bootstrap(driver):
    """Make a handler for some jobs, closed at the end."""
    made = []

    def make(*jobs, service=None, on_driver=None, **options):
        handler = bootstrap_worker(service or JobService(driver, jobs=jobs), on_driver, **options)
        made.append(handler)
        return handler

    yield make
    for handler in made:
        handler.close()


@pytest.fixture
def record():
    """A record as SQS hands it to Lambda; None leaves a member out."""

    def make(body, message_id="m1", *, arn=ARN, received=1, group=None, **members):
        attributes = {"ApproximateReceiveCount": str(received), "SentTimestamp": "1767225600000"}
        if group is not None:
            attributes |= {"MessageGroupId": group, "MessageDeduplicationId": message_id, "SequenceNumber": "1"}
        made = {
            "messageId": message_id,
            "receiptHandle": f"receipt of {message_id}",
            "body": body if isinstance(body, str) else json.dumps(body),
            "attributes": attributes,
            "messageAttributes": {},
            "md5OfBody": "",
            "eventSource": "aws:sqs",
            "eventSourceARN": arn,
            "awsRegion": "eu-west-1",
            **members,
        }
        return {name: value for name, value in made.items() if value is not None}

    return make


@pytest.fixture
def context():
    """Lambda's context, with some milliseconds left."""

    def make(milliseconds, **members):
        return SimpleNamespace(get_remaining_time_in_millis=lambda: milliseconds, **members)

    return make


@pytest.fixture
def failures():
    """The identifiers that an answer names."""

    def read(answer):
        assert set(answer) == {"batchItemFailures"}
        assert all(set(each) == {"itemIdentifier"} for each in answer["batchItemFailures"])
        return [each["itemIdentifier"] for each in answer["batchItemFailures"]]

    return read


@pytest.fixture
def wrapped():
    """A memory driver with other claims."""

    def wrap(inner, **claims):
        class Wrapped(MemoryDriver):
            capabilities = property(lambda self: replace(inner.capabilities, **claims))

        return Wrapped()

    return wrap

"""`waybill_sqs.testing.sqs_event`: an event from what was sent."""

import json
from dataclasses import dataclass

import pytest

from waybill import Job, JobService, job
from waybill.testing import MemoryDriver
from waybill_sqs.testing import sqs_event


@dataclass
class Welcome:
    user_id: str


@pytest.fixture
def seen():
    return []


@pytest.fixture
def welcome(seen):
    @job(queue="emails", group=lambda payload: payload.user_id)
    async def welcome(payload: Welcome, ctx):
        seen.append((payload.user_id, ctx.job_id, ctx.attempt, ctx.queue))
        if payload.user_id == "bad":
            raise ValueError("bad")

    return welcome


async def test_what_a_memory_driver_recorded_is_handed_to_the_function(bootstrap, driver, welcome, seen):
    sent = await JobService(driver, jobs=[welcome]).enqueue(welcome, Welcome("u1"))
    event = sqs_event(driver.enqueued)
    assert bootstrap(welcome)(event, None) == {"batchItemFailures": []}
    assert seen == [("u1", sent.job_id, 1, "emails")]
    assert sqs_event([each.message for each in driver.enqueued]) == event


def test_calls_tuples_jobs_and_bodies_are_taken(bootstrap, welcome, seen):
    class Cleanup(Job[None]):
        async def handle(self):
            seen.append("cleaned")

    event = sqs_event(
        [
            welcome.call(Welcome("u1"), job_id="j1"),
            (welcome, {"user_id": "u2"}),
            Cleanup,
            {"jobName": "welcome", "payload": {"user_id": "u3"}},
            json.dumps({"jobName": "welcome", "payload": {"user_id": "u4"}}),
            ("welcome", {"user_id": "u5"}),
        ]
    )
    assert bootstrap(welcome, Cleanup)(event, None) == {"batchItemFailures": []}
    assert [each[0] for each in seen if each != "cleaned"] == ["u1", "u2", "u3", "u4", "u5"]
    assert seen.count("cleaned") == 1


def test_a_fifo_event_has_groups_and_an_order(bootstrap, welcome, seen, failures):
    event = sqs_event([(welcome, Welcome("bad")), (welcome, Welcome("bad")), (welcome, Welcome("good"))], fifo=True)
    assert event["Records"][0]["eventSourceARN"].endswith(":waybill-emails.fifo")
    assert failures(bootstrap(welcome)(event, None)) == [
        event["Records"][0]["messageId"],
        event["Records"][1]["messageId"],
    ]
    assert sorted(each[0] for each in seen) == ["bad", "good"]


def test_the_attempt_the_queue_and_its_place_can_be_said(bootstrap, welcome, seen):
    event = sqs_event(
        [{"jobName": "welcome", "payload": {"user_id": "u1"}}],
        queue="other",
        attempt=3,
        prefix="app",
        region="us-west-2",
    )
    [record] = event["Records"]
    assert record["eventSourceARN"] == "arn:aws:sqs:us-west-2:123456789012:app-other"
    bootstrap(welcome)(event, None)
    assert seen == [("u1", record["messageId"], 3, "app-other")]


def test_a_record_has_what_a_real_one_has(welcome):
    [record] = sqs_event([(welcome, Welcome("u1"))])["Records"]
    assert set(record) == {
        "messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfBody", "eventSource",
        "eventSourceARN", "awsRegion",
    }  # fmt: skip
    assert record["eventSource"] == "aws:sqs"
    assert json.loads(record["body"])["jobName"] == "welcome"


@pytest.mark.parametrize("item", [None, 7, ["welcome"], MemoryDriver()], ids=lambda item: type(item).__name__)
def test_what_is_no_message_is_refused(item):
    with pytest.raises(TypeError, match="is no message"):
        sqs_event([item])


def test_a_payload_that_does_not_fit_is_refused_as_it_would_be_when_sent(welcome):
    from waybill import InvalidJobPayloadError

    with pytest.raises(InvalidJobPayloadError):
        sqs_event([(welcome, {"user_id": 7})])

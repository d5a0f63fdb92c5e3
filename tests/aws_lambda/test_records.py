"""The records of a standard queue: each has its own fate, and the answer names exactly those to be handed out again."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from unittest.mock import MagicMock

import pytest

from waybill import (
    BrokerUnavailableError,
    InvalidJobPayloadError,
    JobService,
    PermanentJobError,
    Retry,
    RetryExhaustedError,
    TransientJobError,
    UnknownJobError,
    job,
)
from waybill.driver import Message
from waybill.envelope import wrap
from waybill.testing import MemoryDriver


@dataclass
class Welcome:
    user_id: str
    locale: str = "en"


@pytest.fixture
def trace():
    """The hooks that were called, as a handler's options."""

    class Trace(list):
        def options(self):
            return {
                "on_job_start": lambda job, ctx: self.append(("start", job.job_id)),
                "on_job_complete": lambda job, ctx: self.append(("complete", job.job_id)),
                "on_job_failed": lambda job, ctx, err: self.append(("failed", job.job_id, type(err))),
                "on_job_dead_letter": lambda job, ctx, err: self.append(("dead_letter", job.job_id, type(err))),
            }

    return Trace()


def test_a_job_that_ends_well_is_not_named(bootstrap, record, trace):
    seen = []

    @job(name="send-welcome")
    async def send_welcome(payload: Welcome, ctx):
        seen.append((payload, ctx.job_id, ctx.attempt, ctx.enqueued_at, dict(ctx.metadata)))

    body = {
        "jobName": "send-welcome",
        "payload": {"user_id": "u1"},
        "jobId": "j1",
        "enqueuedAt": "2026-01-01T09:00:00.5Z",
        "metadata": {"tenant": "t1"},
    }
    assert bootstrap(send_welcome, **trace.options())({"Records": [record(body)]}, None) == {"batchItemFailures": []}
    when = datetime(2026, 1, 1, 9, 0, 0, 500_000, tzinfo=UTC)
    assert seen == [(Welcome("u1", "en"), "j1", 1, when, {"tenant": "t1"})]
    assert trace == [("start", "j1"), ("complete", "j1")]


def test_a_plain_handler_runs_in_a_thread_and_may_send_a_follow_up(bootstrap, record, driver):
    @job
    def fan_out(payload: int, ctx):
        for number in range(payload):
            ctx.sync.enqueue("leaf", number, queue="leaves")

    assert bootstrap(fan_out)({"Records": [record({"jobName": "fan_out", "payload": 2})]}) == {"batchItemFailures": []}
    assert [(each.job_name, each.payload, each.queue) for each in driver.enqueued] == [
        ("leaf", 0, "leaves"),
        ("leaf", 1, "leaves"),
    ]


def test_of_ten_records_exactly_the_failed_ones_are_named_in_their_order(bootstrap, record, failures):
    @job
    async def picky(payload: int):
        if payload in {3, 7}:
            raise TransientJobError("not now")

    batch = [record({"jobName": "picky", "payload": number}, f"m{number}") for number in range(1, 11)]
    assert failures(bootstrap(picky)({"Records": batch}, None)) == ["m3", "m7"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), TransientJobError("later", retry_after=5), SystemExit(1)])
def test_a_failed_attempt_is_named_and_its_hook_called_once(bootstrap, record, failures, trace, error):
    @job
    async def failing():
        raise error

    handler = bootstrap(failing, **trace.options())
    assert failures(handler({"Records": [record({"jobName": "failing", "jobId": "j"})]}, None)) == ["m1"]
    assert trace == [("start", "j"), ("failed", "j", type(error))]


def test_a_permanent_error_is_a_dead_letter_at_once_and_not_named(bootstrap, record, failures, driver, trace):
    @job
    async def hopeless():
        raise PermanentJobError("no such user")

    handler = bootstrap(hopeless, **trace.options())
    assert failures(handler({"Records": [record({"jobName": "hopeless", "jobId": "j"})]}, None)) == []
    assert trace[1:] == [("failed", "j", PermanentJobError), ("dead_letter", "j", PermanentJobError)]
    [letter] = driver.dead
    assert (letter.message.id, letter.message.job_name) == ("j", "hopeless")
    assert (letter.reason.code, letter.reason.error) == ("permanent", "no such user")


def test_the_last_attempt_that_fails_is_exhausted(bootstrap, record, failures, driver, trace):
    @job(retry=3)
    async def failing():
        raise ValueError("always")

    handler = bootstrap(failing, **trace.options())
    body = {"jobName": "failing", "jobId": "j"}
    assert failures(handler({"Records": [record(body, received=2)]}, None)) == ["m1"]
    assert failures(handler({"Records": [record(body, received=3)]}, None)) == []
    assert trace[-2:] == [("failed", "j", ValueError), ("dead_letter", "j", RetryExhaustedError)]
    assert [each.reason.code for each in driver.dead] == ["exhausted"]


def test_by_default_a_job_has_25_attempts(bootstrap, record, failures, driver):
    @job
    async def failing():
        raise ValueError("always")

    handler = bootstrap(failing)
    assert failures(handler({"Records": [record({"jobName": "failing"}, received=24)]}, None)) == ["m1"]
    assert failures(handler({"Records": [record({"jobName": "failing"}, received=25)]}, None)) == []
    assert [each.reason.attempt for each in driver.dead] == [25]


@pytest.mark.parametrize(("retry", "received"), [(False, 1), (Retry(max_attempts=2, dead=False), 2)])
def test_a_job_that_wants_no_dead_letter_is_dropped(bootstrap, record, failures, driver, trace, retry, received):
    @job(retry=retry)
    async def failing():
        raise ValueError("always")

    handler = bootstrap(failing, **trace.options())
    assert failures(handler({"Records": [record({"jobName": "failing", "jobId": "j"}, received=received)]}, None)) == []
    assert trace == [("start", "j"), ("failed", "j", ValueError)]
    assert not driver.dead


def test_one_that_began_too_often_is_not_run(bootstrap, record, failures, driver):
    ran = []

    @job(retry=3)
    async def deadly():
        ran.append(1)

    handler = bootstrap(deadly)
    assert failures(handler({"Records": [record({"jobName": "deadly"}, received=5)]}, None)) == []
    assert failures(handler({"Records": [record({"jobName": "deadly"}, received=6)]}, None)) == []
    assert ran == [1]  # SQS counts approximately: up to two more are allowed for
    assert [each.reason.code for each in driver.dead] == ["lease-expired"]


def test_an_invalid_payload_is_a_dead_letter_without_a_run(bootstrap, record, failures, driver, trace):
    @job
    async def welcome(payload: Welcome):
        raise AssertionError

    handler = bootstrap(welcome, **trace.options())
    body = {"jobName": "welcome", "jobId": "j", "payload": {"user_id": 7}}
    assert failures(handler({"Records": [record(body)]}, None)) == []
    assert trace == [("failed", "j", InvalidJobPayloadError), ("dead_letter", "j", InvalidJobPayloadError)]
    assert [each.reason.code for each in driver.dead] == ["invalid-payload"]


def test_an_invalid_payload_is_tried_again_where_the_job_says_so(bootstrap, record, failures, driver):
    @job(on_invalid="retry")
    async def welcome(payload: Welcome):
        raise AssertionError

    assert failures(bootstrap(welcome)({"Records": [record({"jobName": "welcome", "payload": 1})]}, None)) == ["m1"]
    assert not driver.dead


def test_an_unknown_job_is_kept_for_a_newer_version(bootstrap, record, failures, driver, trace):
    handler = bootstrap(**trace.options())
    body = {"jobName": "of-tomorrow", "jobId": "j"}
    assert failures(handler({"Records": [record(body)]}, None)) == ["m1"]
    assert failures(handler({"Records": [record(body, received=25)]}, None)) == []
    assert trace[-1] == ("dead_letter", "j", UnknownJobError)
    assert [each.reason.code for each in driver.dead] == ["unknown-job"]


UNREADABLE = {
    "no JSON": "not-json",
    "empty": "",
    "a JSON string": json.dumps("just-a-string"),
    "a list": "[]",
    "null": "null",
    "no job name": json.dumps({"payload": {"data": "test"}}),
    "an empty job name": json.dumps({"jobName": ""}),
    "a job name that is no text": json.dumps({"jobName": 7}),
    "of another version": json.dumps({"v": 99, "jobName": "fine"}),
    "nested too deeply": "[" * 100_000,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_what_nobody_can_read_fails_alone_and_is_kept_as_it_was(bootstrap, record, failures, driver, trace, body):
    @job
    async def fine():
        pass

    handler = bootstrap(fine, **trace.options())
    batch = [record(body, "m1"), record({"jobName": "fine", "jobId": "j2"}, "m2")]
    # This driver is not the queue's: it cannot delete the record, which SQS keeps, too.
    assert failures(handler({"Records": batch}, None)) == ["m1"]
    assert [each for each in trace if each[0] != "dead_letter"] == [("start", "j2"), ("complete", "j2")]
    [letter] = driver.dead
    assert (letter.message.id, letter.reason.code) == ("m1", "undecodable")
    assert letter.message.body == body.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("body", [None, 7, {"jobName": "fine"}, b"bytes"], ids=str)
def test_a_body_that_is_no_text_fails_alone(bootstrap, record, failures, body):
    @job
    async def fine():
        pass

    broken = record("", "m1") | {"body": body}
    assert failures(bootstrap(fine)({"Records": [broken, record({"jobName": "fine"}, "m2")]}, None)) == ["m1"]


@pytest.mark.parametrize(
    "members",
    [
        {"attributes": None},
        {"attributes": {}},
        {"attributes": {"ApproximateReceiveCount": "many"}},
        {"attributes": "none"},
        {"receiptHandle": None, "messageAttributes": None, "md5OfBody": None, "awsRegion": None},
        {"eventSource": None, "eventSourceARN": None},
        {"eventSourceARN": 7},
        {"eventSourceARN": "no arn at all"},
    ],
    ids=str,
)
def test_a_record_that_lacks_what_every_real_one_has_is_run(bootstrap, record, failures, members):
    seen = []

    @job
    async def seeing(ctx):
        seen.append((ctx.attempt, ctx.job_id))

    assert failures(bootstrap(seeing)({"Records": [record({"jobName": "seeing"}, **members)]}, None)) == []
    assert seen == [(1, "m1")]


def test_a_record_without_an_id_is_run_and_its_failure_fails_the_batch(bootstrap, record, failures):
    @job
    async def picky(payload):
        if payload:
            raise ValueError(payload)

    handler = bootstrap(picky)
    nameless = record({"jobName": "picky"}, messageId=None)
    assert failures(handler({"Records": [nameless]}, None)) == []
    # Lambda takes an empty identifier for the failure of the whole batch, so that nothing is lost.
    failing = record({"jobName": "picky", "payload": 1}, messageId=None)
    assert failures(handler({"Records": [failing, record({"jobName": "picky"}, "m2")]}, None)) == [""]


def test_what_is_no_record_among_records_fails_the_batch(bootstrap, record, failures):
    ran = []

    @job
    async def fine():
        ran.append(1)

    assert failures(bootstrap(fine)({"Records": [record({"jobName": "fine"}), "garbage", None]}, None)) == ["", ""]
    assert ran == [1]


def test_a_message_that_is_twice_in_a_batch_runs_once_with_its_later_receipt(bootstrap, record, failures):
    seen = []

    @job
    async def failing(ctx):
        seen.append(ctx.attempt)
        raise ValueError("no")

    twice = [record({"jobName": "failing"}, received=1), record({"jobName": "failing"}, received=2)]
    assert failures(bootstrap(failing)({"Records": twice}, None)) == ["m1"]
    assert seen == [2]


def test_an_empty_batch_is_answered_without_connecting(bootstrap, driver):
    handler = bootstrap(service=JobService("no-such-broker://"))
    assert handler({"Records": []}, None) == {"batchItemFailures": []}


def test_a_hook_that_raises_changes_nothing(bootstrap, record, failures):
    @job
    async def fine():
        pass

    def broken(job, ctx):
        raise RuntimeError("in the hook")

    handler = bootstrap(fine, on_job_start=broken, on_job_complete=broken)
    assert failures(handler({"Records": [record({"jobName": "fine"})]}, None)) == []


def test_async_hooks_are_awaited(bootstrap, record):
    seen = []

    @job
    async def fine():
        pass

    async def listening(job, ctx, result):
        seen.append(job.queue)

    bootstrap(fine, on_job_complete=listening)({"Records": [record({"jobName": "fine"})]}, None)
    assert seen == ["default"]


def test_the_queue_is_the_senders_name_of_it_else_that_of_its_arn(bootstrap, record):
    seen = {}

    @job(queue="mine")
    async def seeing(ctx):
        seen[ctx.job_id] = ctx.queue

    told = {
        "sender's": ({"jobName": "seeing", "queue": "emails"}, "waybill-other"),
        "ours": ({"jobName": "seeing"}, "waybill-mine"),
        "ours, of fifo": ({"jobName": "seeing"}, "waybill-mine.fifo"),
        "another's": ({"jobName": "seeing"}, "my-app-jobs"),
        "no name": ({"jobName": "seeing", "queue": "no name!"}, "other.fifo"),
        "none": ({"jobName": "seeing"}, None),
    }
    batch = [
        record(body, name, arn=queue and f"arn:aws:sqs:eu-west-1:1:{queue}") for name, (body, queue) in told.items()
    ]
    bootstrap(seeing)({"Records": batch}, None)
    assert seen == {
        "sender's": "emails",
        "ours": "mine",
        "ours, of fifo": "mine",
        "another's": "my-app-jobs",
        "no name": "other",
        "none": "default",
    }


def test_one_that_comes_early_is_put_off_and_has_no_attempt(bootstrap, record, failures, driver, clock):
    ran = []

    @job
    async def later():
        ran.append(1)

    due = clock.now() + timedelta(minutes=14)
    body = wrap(Message("j1", "default", b'{"jobName":"later","jobId":"j1"}'), due).decode()
    handler = bootstrap(later)
    assert failures(handler({"Records": [record(body)]}, None)) == []
    assert ran == []
    assert [(each.message.id, each.at) for each in driver.enqueued] == [("j1", due)]
    clock.advance("14m")
    assert failures(handler({"Records": [record(body)]}, None)) == []
    assert ran == [1]


def test_one_that_comes_early_and_cannot_be_put_off_is_named(bootstrap, record, failures, driver, clock):
    @job
    async def later():
        raise AssertionError

    driver.fail_next(BrokerUnavailableError("down"))
    body = wrap(Message("j1", "default", b'{"jobName":"later"}'), clock.now() + timedelta(hours=1)).decode()
    assert failures(bootstrap(later)({"Records": [record(body)]}, None)) == ["m1"]


def test_earlier_attempts_that_the_message_carries_count(bootstrap, record):
    seen = []

    @job
    async def seeing(ctx):
        seen.append(ctx.attempt)

    body = wrap(Message("j1", "default", b'{"jobName":"seeing"}'), attempts=4).decode()
    bootstrap(seeing)({"Records": [record(body, received=2)]}, None)
    assert seen == [6]


def test_what_cannot_be_kept_as_a_dead_letter_is_named(bootstrap, record, failures, monkeypatch, driver):
    @job
    async def hopeless():
        raise PermanentJobError("no")

    async def full(*_):
        raise PermanentJobError("no room")

    monkeypatch.setattr(driver, "keep_dead", full)
    assert failures(bootstrap(hopeless)({"Records": [record({"jobName": "hopeless"})]}, None)) == ["m1"]


def test_dead_letters_go_through_the_driver_that_is_given(bootstrap, record, driver):
    @job
    async def hopeless():
        raise PermanentJobError("no")

    other = MemoryDriver()
    handler = bootstrap(hopeless, on_driver=other)
    handler({"Records": [record({"jobName": "hopeless"})]}, None)
    assert [each.reason.code for each in other.dead] == ["permanent"]
    assert not driver.dead


def test_dead_letters_go_to_the_queue_that_the_job_names(bootstrap, record, driver):
    @job(dead_letter_queue="graveyard")
    async def hopeless():
        raise PermanentJobError("no")

    bootstrap(hopeless)({"Records": [record({"jobName": "hopeless"})]}, None)
    [letter] = driver._shared.queues["graveyard"].dead
    assert letter.message.job_name == "hopeless"


def test_records_of_one_batch_run_side_by_side(bootstrap, record, failures):
    import threading

    meeting = threading.Barrier(10, timeout=5)

    @job
    def meet():
        meeting.wait()

    batch = [record({"jobName": "meet"}, f"m{number}") for number in range(10)]
    assert failures(bootstrap(meet)({"Records": batch}, None)) == []


def test_no_more_than_concurrency_run_at_once(bootstrap, record, failures):
    import asyncio

    running, most = 0, 0

    @job
    async def busy():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    batch = [record({"jobName": "busy"}, f"m{number}") for number in range(10)]
    assert failures(bootstrap(busy, concurrency=3)({"Records": batch}, None)) == []
    assert most == 3


def test_no_secret_of_a_message_is_told(bootstrap, record, caplog):
    body = {"jobName": "of-tomorrow", "session": {"tag": "t", "token": "s3cret"}}
    handler = bootstrap()
    handler({"Records": [record(body), record('{"token": "s3cret"', "m2")]}, None)
    assert "s3cret" not in caplog.text


def test_records_may_come_as_a_list_as_pipes_of_eventbridge_hand_them_over(bootstrap, record, failures):
    @job
    async def picky(payload):
        if payload:
            raise ValueError(payload)

    batch = [record({"jobName": "picky", "payload": number}, f"m{number}") for number in range(2)]
    assert failures(bootstrap(picky)(batch, None)) == ["m1"]


def test_a_context_that_is_a_stand_in_says_nothing(bootstrap, record, failures):
    seen = []

    @job
    async def seeing(ctx):
        seen.append(ctx.attempt)

    handler = bootstrap(seeing)
    assert failures(handler({"Records": [record({"jobName": "seeing"})]}, MagicMock())) == []
    assert handler({"jobName": "seeing"}, MagicMock()) == {"success": True}
    assert seen == [1, 1]

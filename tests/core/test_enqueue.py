"""The sending verbs, their keywords and their results."""

from dataclasses import FrozenInstanceError, dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from waybill import (
    BrokerUnavailableError,
    DriverClosedError,
    EnqueueError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
    Job,
    JobService,
    Session,
    TransientJobError,
    define_job,
)
from waybill.envelope import decode
from waybill.testing import MemoryDriver, run_until_idle


@dataclass
class Welcome:
    user_id: str


SEND = define_job(name="send", schema=Welcome, queue="emails", priority=3)
LATER = define_job(name="later", delay="1h")
PAYLOAD = Welcome("u1")


async def test_an_enqueue_gives_the_brokers_id_and_the_jobs(service, driver):
    result = await service.enqueue(SEND, PAYLOAD)
    assert (result.status, result.queue, result.scheduled_at) == ("queued", "emails", None)
    assert (result.recurring, result.next_run_at, result.schedule_id) == (False, None, None)
    assert result.job_id == driver.enqueued[0].message.id
    assert result.message_id
    assert result
    with pytest.raises(FrozenInstanceError):
        result.status = "scheduled"


async def test_a_result_shows_its_id_and_status(service):
    result = await service.enqueue(SEND, PAYLOAD)
    assert result.job_id in str(result)
    assert "queued" in str(result)


async def test_the_driver_records_what_was_sent(service, driver):
    await service.enqueue(SEND, PAYLOAD)
    [sent] = driver.enqueued
    assert (sent.job_name, sent.payload, sent.queue, sent.delay, sent.at) == (
        "send",
        {"user_id": "u1"},
        "emails",
        None,
        None,
    )
    assert (sent.message.job_name, sent.message.payload, sent.message.queue) == ("send", {"user_id": "u1"}, "emails")


VERBS = {
    "enqueue": lambda service, **options: service.enqueue(SEND, PAYLOAD, **options),
    "enqueue_in": lambda service, **options: service.enqueue_in(SEND, PAYLOAD, "10m", **options),
    "enqueue_at": lambda service, **options: service.enqueue_at(SEND, PAYLOAD, "2027-01-01T00:00:00Z", **options),
    "dispatch": lambda service, **options: service.dispatch(SEND, PAYLOAD, **options),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_every_sending_verb_takes_the_keywords(service, driver, verb):
    result = await VERBS[verb](
        service, job_id="id1", queue="urgent", priority=9, retries=2, metadata={"m": 1}, session=Session("tag", "t0k")
    )
    message = driver.enqueued[0].message
    body = decode(message.body)
    assert (result.job_id, result.queue) == ("id1", "urgent")
    assert (message.id, message.queue, message.priority) == ("id1", "urgent", 9)
    assert (body.max_attempts, body.metadata, body.session) == (3, {"m": 1}, Session("tag", "t0k"))


@pytest.mark.parametrize("verb", VERBS)
async def test_what_a_sending_verb_raises_is_an_enqueue_error(driver, verb):
    service = JobService(driver, queues=["emails"])
    wrong = [{"job_id": ""}, {"job_id": 5}, {"job_id": "x" * 257}, {"queue": "no queue"}, {"queue": "unknown"}]
    wrong += [{"priority": 10}, {"priority": "high"}, {"retries": -1}, {"retries": True}, {"metadata": 5}]
    wrong += [
        {"metadata": {"a": float("nan")}},
        {"metadata": {1: 1}},
        {"session": ("tag", "token")},
        {"job_id": "\ud800"},
    ]
    for options in wrong:
        with pytest.raises(EnqueueError):
            await VERBS[verb](service, **options)
    assert driver.enqueued == []


async def test_an_unknown_keyword_is_a_type_error(service):
    with pytest.raises(TypeError):
        await service.enqueue(SEND, PAYLOAD, jobid="x")


async def test_a_delay_schedules(service, driver, clock):
    result = await service.enqueue_in(SEND, PAYLOAD, "10m")
    assert (result.status, result.scheduled_at) == ("scheduled", clock.now() + timedelta(minutes=10))
    assert result.scheduled_at.tzinfo is UTC
    assert driver.enqueued[0].delay == timedelta(minutes=10)


@pytest.mark.parametrize("delay", ["3d", timedelta(days=3), 259_200])
async def test_a_delay_is_a_duration_or_seconds(service, clock, delay):
    assert (await service.enqueue_in(SEND, PAYLOAD, delay)).scheduled_at == clock.now() + timedelta(days=3)


@pytest.mark.parametrize("delay", ["30s", "5m", "2h", "10m"])
async def test_a_delayed_job_runs_at_its_time_and_not_before(service, clock, delay):
    await service.enqueue_in(define_job(name="x", handler=lambda: None), None, delay)
    full = service.clock.now()
    assert await run_until_idle(service) == 0
    [due] = (await service.driver.list_delayed("default")).entries
    clock.advance_to(due.due - timedelta(microseconds=1))
    assert await run_until_idle(service) == 0
    clock.advance_to(due.due)
    assert await run_until_idle(service) == 1
    assert clock.now() > full


@pytest.mark.parametrize(
    "when",
    [datetime(2026, 1, 1, 1, tzinfo=UTC), "2026-01-01T01:00:00Z", "2026-01-01T06:45:00+05:45"],
    ids=["datetime", "text", "zone"],
)
async def test_a_moment_schedules(service, driver, clock, when):
    result = await service.enqueue_at(define_job(name="x", handler=lambda: None), None, when)
    assert (result.status, result.scheduled_at) == ("scheduled", clock.now() + timedelta(hours=1))
    assert driver.enqueued[0].at == result.scheduled_at
    clock.advance("59m59s")
    assert await run_until_idle(service) == 0
    clock.advance("1s")
    assert await run_until_idle(service) == 1


async def test_a_moment_in_the_past_is_now(service, driver):
    result = await service.enqueue_at(SEND, PAYLOAD, "2020-01-01T00:00:00Z")
    assert (result.status, result.scheduled_at) == ("queued", None)
    assert driver.enqueued[0].at is None


@pytest.mark.parametrize("delay", ["10x", -1, float("nan"), float("inf"), None, object(), timedelta(-1), timedelta.max])
async def test_a_delay_that_is_none_is_a_value_error_and_nothing_is_stored(service, driver, delay):
    with pytest.raises(ValueError, match="sent|durat|year|needs a delay") as caught:
        await service.enqueue_in(SEND, PAYLOAD, delay)
    assert isinstance(caught.value, EnqueueError)
    assert not isinstance(caught.value, EnqueueUnknownError)
    assert driver.enqueued == []


@pytest.mark.parametrize("when", [datetime(2030, 1, 1), "2030-01-01T00:00:00", 1_800_000_000, "tomorrow"])
async def test_a_moment_that_is_none_is_a_value_error_and_nothing_is_stored(service, driver, when):
    with pytest.raises(ValueError, match="moment|time zone") as caught:
        await service.enqueue_at(SEND, PAYLOAD, when)
    assert isinstance(caught.value, EnqueueError)
    assert driver.enqueued == []


async def test_a_jobs_default_delay_holds_for_enqueue(service, clock):
    assert (await service.enqueue(LATER)).scheduled_at == clock.now() + timedelta(hours=1)


async def test_an_explicit_delay_or_time_replaces_the_default(service, clock):
    assert (await service.enqueue_in(LATER, None, "5m")).scheduled_at == clock.now() + timedelta(minutes=5)
    assert (await service.enqueue_in(LATER, None, 0)).status == "queued"
    assert (await service.enqueue_at(LATER, None, clock.now())).status == "queued"


@pytest.mark.parametrize(
    "late", [{"delay": 60}, {"delay": "60"}, {"delay": "10x"}, {"delay": "1m", "at": "2030-01-01T00:00:00Z"}]
)
def test_a_call_with_a_bare_delay_or_two_times_is_refused(late):
    with pytest.raises(EnqueueError):
        SEND.call(PAYLOAD, **late)


async def test_an_unregistered_job_is_registered_by_its_first_use(service):
    await service.enqueue(SEND, PAYLOAD)
    await service.enqueue("send", PAYLOAD)
    with pytest.raises(EnqueueError):
        await service.enqueue("send", {"wrong": 1})


async def test_another_job_of_a_registered_name_is_refused(service):
    await service.enqueue(SEND, PAYLOAD)
    with pytest.raises(EnqueueError, match="named 'send'"):
        await service.enqueue(define_job(name="send"), PAYLOAD)


async def test_an_unregistered_name_is_sent_unvalidated(service, driver):
    await service.enqueue("anything", {"q": 1}, queue="foreign")
    assert (driver.enqueued[0].job_name, driver.enqueued[0].queue) == ("anything", "foreign")
    with pytest.raises(EnqueueError):
        await service.enqueue("", None)


async def test_a_job_class_is_sent_like_its_instance(service, driver):
    class Send(Job[Welcome]):
        async def handle(self, payload: Welcome): ...

    await service.enqueue(Send, PAYLOAD)
    await service.enqueue(Send(), PAYLOAD)
    assert [each.job_name for each in driver.enqueued] == ["Send", "Send"]


async def test_a_job_without_a_queue_goes_to_the_default_one(driver):
    result = await JobService(driver, default_queue="main").enqueue(define_job(name="x"))
    assert result.queue == driver.enqueued[0].queue == "main"


async def test_retries_count_further_runs_of_this_message_only(service, clock):
    ran = []

    def handler(payload):
        ran.append(payload)
        raise TransientJobError(retry_after=1)

    failing = define_job(name="x", handler=handler, retry=2)
    await service.enqueue(failing, "four", retries=3)
    await service.enqueue(failing, "two")
    for _ in range(10):
        await run_until_idle(service)
        clock.advance(1)
    assert (ran.count("four"), ran.count("two")) == (4, 2)


async def test_the_same_id_twice_is_stored_once(service, driver):
    await service.enqueue(SEND, PAYLOAD, job_id="once")
    assert (await service.enqueue(SEND, PAYLOAD, job_id="once")).job_id == "once"
    assert len(driver.enqueued) == 1


def test_the_token_of_a_session_is_never_shown():
    session = Session("tag", "t0ken")
    assert "t0ken" not in repr(session) + str(session) + f"{SEND.call(PAYLOAD, session=session)}"


async def test_the_token_is_in_no_repr_of_a_message(service, driver):
    await service.enqueue(SEND, PAYLOAD, session=Session("tag", "t0ken"))
    [delivery] = await driver.receive("emails", limit=1, wait=timedelta())
    assert "t0ken" not in f"{driver.enqueued!r}{delivery!r}{driver!r}{service!r}"
    assert b"t0ken" in delivery.message.body


# -- failures -----------------------------------------------------------------------------------------------

FAILURES = [
    (BrokerUnavailableError("down"), EnqueueUnavailableError),
    (EnqueueRejectedError("full"), EnqueueRejectedError),
    (DriverClosedError("closed"), DriverClosedError),
    (OSError("broken driver"), EnqueueUnknownError),
    (TypeError("broken driver"), EnqueueUnknownError),
]


@pytest.mark.parametrize(("error", "kind"), FAILURES, ids=lambda each: getattr(each, "__name__", type(each).__name__))
async def test_a_failed_enqueue_is_an_enqueue_error_with_its_cause(service, driver, error, kind):
    driver.fail_next(error)
    with pytest.raises(EnqueueError) as caught:
        await service.enqueue(SEND, PAYLOAD)
    assert isinstance(caught.value, kind)
    assert error in (caught.value, caught.value.__cause__)
    await service.enqueue(SEND, PAYLOAD)
    assert len(driver.enqueued) == 1


async def test_a_broker_that_cannot_be_reached_fails_the_first_verb_as_an_enqueue_error(wrapped, driver):
    async def down(name, *args):
        if name == "open":
            raise BrokerUnavailableError("down")

    service = JobService(wrapped(driver, before=down))
    with pytest.raises(EnqueueUnavailableError, match="down"):
        await service.enqueue(SEND, PAYLOAD)
    with pytest.raises(BrokerUnavailableError, match="down"):
        await service.open()
    with pytest.raises(BrokerUnavailableError, match="down"):
        async with service:
            pytest.fail("it did not connect")


async def test_an_unforeseen_error_before_anything_is_sent_is_no_unknown_outcome(wrapped, driver):
    async def broken(name, *args):
        if name == "open":
            raise OSError("no such file")

    with pytest.raises(EnqueueError, match="Nothing was sent") as caught:
        await JobService(wrapped(driver, before=broken)).enqueue(SEND, PAYLOAD)
    assert not isinstance(caught.value, EnqueueUnknownError)


async def test_opening_and_closing_are_idempotent_and_a_closed_service_sends_nothing(driver):
    service = JobService(driver)
    async with service:
        await service.open()
        await service.enqueue(SEND, PAYLOAD)
    await service.close()
    for refused in (service.enqueue(SEND, PAYLOAD), service.enqueue_batch([(SEND, PAYLOAD)])):
        with pytest.raises(DriverClosedError) as caught:
            await refused
        assert isinstance(caught.value, EnqueueError)
    with pytest.raises(DriverClosedError):
        await service.stats("emails")
    await service.open()
    await service.enqueue(SEND, PAYLOAD)
    assert len(driver.enqueued) == 2


async def test_a_service_that_opens_in_part_disconnects_again(driver, wrapped):
    async def down(name, *args):
        if name == "open":
            raise BrokerUnavailableError("down")

    first, second = wrapped(driver), wrapped(MemoryDriver(), before=down)
    with pytest.raises(BrokerUnavailableError):
        await JobService(first, drivers={"other": second}).open()
    assert [name for name, _ in first.calls] == ["open", "close"]


async def test_metadata_is_any_json_and_what_has_a_json_form(service, driver):
    await service.enqueue(SEND, PAYLOAD, metadata={"welcome": Welcome("u1"), "nested": [{"a": None}]})
    assert decode(driver.enqueued[0].message.body).metadata == {"welcome": {"user_id": "u1"}, "nested": [{"a": None}]}


async def test_encoding_costs_no_precision(service, driver):
    await service.enqueue(define_job(name="x"), [2**63, 0.1])
    assert msgspec.json.decode(driver.enqueued[0].message.body)["payload"] == [2**63, 0.1]

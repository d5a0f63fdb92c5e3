"""The testing kit: real paths on a virtual clock, what was sent and what was given up, and nothing sleeps."""

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from waybill import BrokerUnavailableError, ConfigurationError, EnqueueError, Job, JobService, Worker, define_job, job
from waybill.testing import (
    MemoryDriver,
    VirtualClock,
    assert_enqueued,
    assert_not_enqueued,
    run_until_idle,
    use_driver,
)


@dataclass
class Welcome:
    user_id: str
    locale: str = "en"


SEND = define_job(name="send", schema=Welcome, queue="emails", handler=lambda payload: None)


async def test_the_example_of_the_contract():
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    driver = MemoryDriver(clock=clock)
    service = JobService(driver, jobs=[SEND])
    await service.enqueue(SEND, Welcome("u1"))
    assert (driver.enqueued[0].job_name, driver.enqueued[0].payload["user_id"]) == ("send", "u1")
    driver.fail_next(BrokerUnavailableError("down"))
    with pytest.raises(BrokerUnavailableError):
        await service.enqueue(SEND, Welcome("u2"))
    assert_enqueued(service, SEND, payload=Welcome("u1"), times=1)
    await service.enqueue_in(SEND, Welcome("u3"), "10m")
    assert await run_until_idle(service) == 1
    clock.advance("10m")
    assert await run_until_idle(service) == 1


# -- assert_enqueued ------------------------------------------------------------------------------------------


@pytest.fixture
async def sent(driver):
    service = JobService(driver, jobs=[SEND])
    await service.enqueue(SEND, {"user_id": "u1"})
    await service.enqueue(SEND, Welcome("u2"), queue="other")
    return service


@pytest.mark.parametrize(
    "payload", [Welcome("u1"), {"user_id": "u1"}, {"user_id": "u1", "locale": "en"}], ids=["object", "short", "full"]
)
async def test_a_payload_is_the_same_in_every_accepted_form(sent, payload):
    [found] = assert_enqueued(sent, SEND, payload=payload, times=1)
    assert found.message.payload == {"user_id": "u1"}


async def test_a_job_may_be_named_and_a_queue_given(sent):
    assert len(assert_enqueued(sent, "send")) == 2
    assert len(assert_enqueued(sent, "send", payload={"user_id": "u1"})) == 1
    assert len(assert_enqueued(sent, SEND, queue="other", times=1)) == 1
    assert assert_enqueued(sent, SEND, payload=Welcome("u9"), times=0) == []


WRONG = [
    {"times": 3},
    {"payload": Welcome("u9")},
    {"queue": "nope"},
    {"payload": Welcome("u1"), "times": 0},
    {"payload": {"wrong": 1}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
async def test_what_was_not_sent_fails_and_the_message_lists_what_was(sent, wrong):
    with pytest.raises(AssertionError, match=r"Sent:\n  send to emails: \{'user_id': 'u1'\}"):
        assert_enqueued(sent, SEND, **wrong)


def test_nothing_sent_is_said_so(service):
    class Never(Job):
        def handle(self): ...

    with pytest.raises(AssertionError, match="nothing"):
        assert_enqueued(service, Never)


def test_it_needs_a_memory_driver():
    with pytest.raises(ConfigurationError, match="use_driver"):
        assert_enqueued(JobService("memory://"), SEND)


# -- dead letters -----------------------------------------------------------------------------------------------


async def test_what_was_given_up_is_there_with_its_reason(service, driver):
    await service.enqueue(define_job(name="x", handler=lambda: 1 / 0, retry=1), {"a": 1})
    await run_until_idle(service)
    assert (driver.dead[0].message.job_name, driver.dead[0].message.payload) == ("x", {"a": 1})
    assert driver.dead[0].reason.code == "exhausted"


# -- use_driver -------------------------------------------------------------------------------------------------


async def test_an_applications_service_uses_another_driver_for_a_while():
    service = JobService("memory://", jobs=[SEND], drivers={"other": "memory://"})
    await service.enqueue(SEND, Welcome("before"))
    connection, clock = service.broker.connected, VirtualClock()
    driver = MemoryDriver(clock=clock)
    with use_driver(service, driver) as same:
        assert same is service
        assert service.clock is clock
        await service.enqueue(SEND, Welcome("u1"))
        await service.enqueue(SEND, Welcome("u2"), queue="other")
        assert_enqueued(service, SEND, times=2)
        assert await run_until_idle(service, queues=["emails", "other"]) == 2
    assert service.driver == "memory://"
    assert service.broker.connected is connection, "its own connection was kept"
    assert (await service.stats("emails")).ready == 1
    await service.close()


async def test_it_is_restored_whatever_happens(service, driver):
    with pytest.raises(LookupError), use_driver(service, MemoryDriver()):
        raise LookupError
    assert service.driver is driver


# -- the clock ----------------------------------------------------------------------------------------------------


def test_a_virtual_clock_starts_where_it_is_told():
    assert VirtualClock().now().tzinfo is UTC
    assert VirtualClock("2026-01-01T05:45:00+05:45").now() == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="time zone"):
        VirtualClock(datetime(2026, 1, 1))


def test_it_passes_only_when_told_and_never_backwards():
    clock = VirtualClock("2026-01-01T00:00:00Z")
    clock.advance("1h30m")
    clock.advance(30)
    clock.advance_to("2026-01-01T02:00:00Z")
    assert clock.now() == datetime(2026, 1, 1, 2, tzinfo=UTC)
    assert clock.monotonic() == 7200
    for wrong in (-1, "10x", float("nan")):
        with pytest.raises(ValueError, match="durat"):
            clock.advance(wrong)
    with pytest.raises(ValueError, match="forward only"):
        clock.advance_to("2026-01-01T01:00:00Z")
    assert "2026-01-01T02:00:00" in repr(clock)


async def test_its_timers_come_in_their_order_and_can_be_cancelled(clock):
    rung = []
    for seconds in (3, 1, 2, 1):
        clock.call_later(timedelta(seconds=seconds), lambda seconds=seconds: rung.append(seconds))
    clock.call_later(timedelta(seconds=1), lambda: rung.append("cancelled")).cancel()
    clock.advance(2)
    await asyncio.sleep(0)
    assert rung == [1, 1, 2]
    clock.advance(1)
    await asyncio.sleep(0)
    assert rung == [1, 1, 2, 3]


async def test_10_000_jobs_over_a_day_take_no_time(service, clock):
    start = time.perf_counter()

    async def handler():
        pass

    job = define_job(name="y", handler=handler)
    await service.enqueue_batch([job.call(delay=timedelta(seconds=8 * n)) for n in range(10_000)])
    ran = 0
    for _ in range(24):
        clock.advance("1h")
        ran += await run_until_idle(service)
    assert ran == 10_000
    assert time.perf_counter() - start < 20


async def test_the_real_path_is_taken(service, driver):
    """Encoded, validated, retried and dead-lettered as in production."""
    attempts = []

    def handler(payload: Welcome, ctx):
        attempts.append((payload, ctx.attempt))
        raise ValueError

    await service.enqueue(define_job(name="x", handler=handler, retry=2), {"user_id": "u1"})
    await run_until_idle(service)
    service.clock.advance("1h")
    await run_until_idle(service)
    assert attempts == [(Welcome("u1", "en"), 1), (Welcome("u1", "en"), 2)]
    assert driver.dead[0].reason.attempt == 2


async def test_it_runs_inside_an_open_service_as_well(driver):
    async with JobService(driver, jobs=[SEND]) as service:
        await service.enqueue(SEND, Welcome("u1"))
        assert await run_until_idle(service) == 1
        await service.enqueue(SEND, Welcome("u2"))
        assert await run_until_idle(service, concurrency=1) == 1


# -- what was not sent, and how it differs ---------------------------------------------------------------


async def test_an_assertion_shows_how_a_payload_differs(service, driver):
    @job(name="letter")
    async def letter(payload: dict) -> None: ...

    await service.enqueue(letter, {"to": "a@x", "tags": [1, 2], "extra": True})
    with pytest.raises(AssertionError) as failure:
        assert_enqueued(service, letter, payload={"to": "b@x", "tags": [1, 3], "missing": None})
    told = str(failure.value)
    assert "$.to: 'a@x', and 'b@x' was expected" in told
    assert "$.tags[1]: 2, and 3 was expected" in told
    assert "$.missing: None was expected, and is missing" in told
    assert "$.extra: True was not expected" in told


async def test_that_a_job_was_not_sent_is_asserted_too(service, driver):
    @job(name="letter")
    async def letter(payload: str) -> None: ...

    assert_not_enqueued(service, letter)
    await service.enqueue(letter, "a")
    assert_not_enqueued(service, letter, payload="b")
    assert_not_enqueued(service, letter, queue="other")
    with pytest.raises(AssertionError, match="1 times, not 0 times"):
        assert_not_enqueued(service, letter)


# -- failure injection -----------------------------------------------------------------------------------


async def test_any_verb_can_be_made_to_fail(service, driver, clock, until):
    ran = []

    @job(name="letter", retry=3)
    async def letter(payload: str, ctx) -> None:
        ran.append((payload, ctx.attempt))

    driver.fail_next(BrokerUnavailableError("down"), times=2)
    for _ in range(2):
        with pytest.raises(EnqueueError, match="down"):
            await service.enqueue(letter, "lost")
    await service.enqueue(letter, "kept")
    driver.fail_next(BrokerUnavailableError("down"), "receive")
    driver.fail_next(BrokerUnavailableError("down"), "ack")
    async with Worker(service):
        for _ in range(20):
            clock.advance("1s")
            await asyncio.sleep(0.002)
        await until(lambda: ran)
    assert ran == [("kept", 1)]
    assert (await service.stats("default")).leased == 0
    with pytest.raises(ValueError, match="receive, ack"):
        driver.fail_next(BrokerUnavailableError("down"), "purge")


async def test_a_failed_enqueue_is_not_recorded_and_only_the_next_one_fails(service, driver):
    driver.fail_next(BrokerUnavailableError("down"))
    outcomes = await service.enqueue_batch([("a", 1), ("b", 2)])
    assert [each.job_name for each in driver.enqueued] == ["b"]
    assert len(outcomes.failed) == 1


# -- pytest fixtures -------------------------------------------------------------------------------------

FIXTURES = """
import asyncio
from waybill import JobService, Schedule, job
from waybill.testing import assert_enqueued, run_until_idle

ran = []

@job
async def tick() -> None:
    ran.append(1)

production = JobService("sqlite:///never.db", jobs=[tick])

def test_a_service_on_the_virtual_clock(waybill_service, waybill_clock, waybill_driver):
    async def story():
        service = waybill_service(jobs=[tick])
        await service.dispatch(tick, schedule=Schedule(every="1h"))
        waybill_clock.advance("1h")
        assert await run_until_idle(service) == 1
        assert len(waybill_driver.enqueued) == 1
    asyncio.run(story())

def test_the_applications_own_service(waybill_app, waybill_driver):
    async def story():
        service = waybill_app(production)
        assert service is production
        await service.enqueue(tick)
        assert_enqueued(production, tick, times=1)
    asyncio.run(story())
    assert production.driver is waybill_driver

def test_it_is_given_back():
    assert production.driver == "sqlite:///never.db"
"""


def test_the_fixtures_come_with_a_plugin(tmp_path):
    (tmp_path / "test_shop.py").write_text(FIXTURES)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:xdist",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "never.db").exists()

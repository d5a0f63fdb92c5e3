"""The testing kit: real paths on a virtual clock, what was sent and what was given up, and nothing sleeps."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from waybill import BrokerUnavailableError, ConfigurationError, Job, JobService, define_job
from waybill.testing import MemoryDriver, VirtualClock, assert_enqueued, run_until_idle, use_driver


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

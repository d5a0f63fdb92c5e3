"""Running a delivery that no Worker received, as the Lambda worker does."""

import contextvars
from datetime import UTC, datetime, timedelta

import pytest

from waybill import BrokerUnavailableError, DeadReason, JobService, UnsupportedError, job
from waybill.driver import Delivery, Message
from waybill.envelope import Envelope, encode
from waybill.jobs.context import Flag
from waybill.running.fate import Again, Done
from waybill.running.prepare import prepared
from waybill.running.run import Run
from waybill.testing import MemoryDriver


def delivery(name="ping"):
    return Delivery(Message("j1", "default", encode(Envelope(job_name=name))), attempt=2, receipt=None)


async def test_a_delivery_that_no_worker_received_is_run(driver):
    seen = []

    @job
    async def ping(ctx):
        seen.append((ctx.attempt, ctx.services, bool(ctx.shutting_down)))

    service = JobService(driver, jobs=[ping], services=lambda: "made")
    stopping = Flag()
    async with prepared(service, [service.broker], {}, 1) as ready:
        assert await ready.executor(stopping).execute(Run(delivery()), exact_attempts=True) == Done()
        stopping.set()
        await ready.executor(stopping).execute(Run(delivery()), exact_attempts=True)
    assert seen == [(2, "made", False), (2, "made", True)]
    assert service.broker.connected is None


async def test_a_fault_of_our_own_is_another_attempt(driver, monkeypatch, caplog):
    service = JobService(driver)
    monkeypatch.setattr(service.registry, "find", lambda name: 1 / 0)
    async with prepared(service, [], {}, 1) as ready:
        fate = await ready.executor(Flag()).execute(Run(delivery()), exact_attempts=True)
    assert isinstance(fate, Again)
    assert isinstance(fate.error, ZeroDivisionError)
    assert "could not be judged" in caplog.text


async def test_preparing_holds_the_jobs_against_the_broker(wrapped, driver):
    @job(priority=9)
    async def urgent(): ...

    service = JobService(wrapped(driver, priorities=1), jobs=[urgent])
    with pytest.raises(UnsupportedError, match="priorit"):
        async with prepared(service, [service.broker], {}, 1):
            raise AssertionError
    assert service.broker.connected is None


async def test_what_was_open_before_stays_open(driver):
    async with JobService(driver) as service:
        async with prepared(service, [service.broker], {}, 1):
            pass
        assert service.broker.connected is not None


async def test_a_broker_that_is_down_says_so(wrapped, driver):
    async def down(name, *args):
        raise BrokerUnavailableError("down")

    with pytest.raises(BrokerUnavailableError):
        async with prepared(JobService(wrapped(driver, before=down)), [], {}, 1):
            raise AssertionError


async def test_a_memory_driver_keeps_a_dead_letter_it_never_delivered():
    driver = MemoryDriver()
    reason = DeadReason("permanent", "no", 1, datetime(2026, 1, 1, tzinfo=UTC))
    message = delivery().message
    await driver.keep_dead(message, reason)
    await driver.keep_dead(message, reason, "elsewhere")
    assert [(each.message, each.reason) for each in driver.dead] == [(message, reason)] * 2
    assert (await driver.list_dead("elsewhere")).entries[0].message is message
    assert await driver.retry_dead("default", None) == 1
    assert len(await driver.receive("default", limit=9, wait=timedelta())) == 1


def test_a_verb_can_be_begun_on_the_background_loop_and_sees_the_callers_context():
    told = contextvars.ContextVar("told", default="nothing")

    async def verb(more):
        return told.get(), more

    with JobService(MemoryDriver()).sync as blocking:
        told.set("this")
        assert blocking.submit(verb, 1).result(5) == ("this", 1)

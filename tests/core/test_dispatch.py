"""job.dispatch and its kin find their service; run_now runs inline, validated and without a broker."""

import asyncio
import gc
from dataclasses import dataclass

import pytest

from waybill import (
    BrokerUnavailableError,
    ConfigurationError,
    EnqueueError,
    EnqueueFailure,
    InvalidJobPayloadError,
    Job,
    JobService,
    UnknownJobError,
    define_job,
)
from waybill.testing import MemoryDriver, run_until_idle


@dataclass
class Welcome:
    user_id: str
    locale: str = "en"


@pytest.fixture(autouse=True)
def no_service_of_an_earlier_test_is_live():
    gc.collect()


async def greet(payload: Welcome):
    return f"{payload.user_id}/{payload.locale}"


def greeting():
    return define_job(name="greet", handler=greet)


def service_of(job):
    return JobService(MemoryDriver(), jobs=[job])


async def test_dispatch_uses_the_only_live_service_that_registered_the_job():
    job = greeting()
    service, _other = service_of(job), JobService(MemoryDriver())
    result = await job.dispatch(Welcome("u1"), delay="1m", queue="later")
    assert (result.status, result.queue) == ("scheduled", "later")
    assert len(service.driver.enqueued) == 1


async def test_dispatch_takes_a_moment_or_a_delay_and_not_both(clock):
    job = greeting()
    service = JobService(MemoryDriver(clock=clock), jobs=[job])
    assert (await job.dispatch(Welcome("u1"), at="2026-01-01T01:00:00Z")).status == "scheduled"
    for wrong in ({"delay": "1m", "at": "2026-01-01T01:00:00Z"}, {"delay": 60}, {"at": "2026-01-01"}, {"priority": 99}):
        with pytest.raises(EnqueueError):
            await job.dispatch(Welcome("u1"), **wrong)
    assert len(service.driver.enqueued) == 1


async def test_dispatch_without_any_service_tells_the_cure():
    with pytest.raises(ConfigurationError, match="as_current") as caught:
        await greeting().dispatch(Welcome("u1"))
    assert isinstance(caught.value, EnqueueError)


async def test_dispatch_with_several_services_tells_the_cure():
    job = greeting()
    services = [service_of(job), service_of(job)]
    with pytest.raises(ConfigurationError, match="2 live services"):
        await job.dispatch(Welcome("u1"))
    await services[0].close()
    await job.dispatch(Welcome("u1"))
    assert len(services[1].driver.enqueued) == 1


async def test_the_current_service_wins_and_ends_with_its_block():
    job = greeting()
    one, other = service_of(job), service_of(job)
    with one.as_current():
        with other.as_current():
            await job.dispatch(Welcome("inner"))
        await job.dispatch(Welcome("outer"))
    assert [each.driver.enqueued[0].payload["user_id"] for each in (one, other)] == ["outer", "inner"]
    with pytest.raises(ConfigurationError):
        await job.dispatch(Welcome("u1"))


async def test_the_current_service_is_each_tasks_own():
    job = greeting()
    services = [service_of(job) for _ in range(3)]

    async def send(service):
        with service.as_current():
            await asyncio.sleep(0)
            await job.dispatch(Welcome("u1"))

    await asyncio.gather(*map(send, services))
    assert [len(each.driver.enqueued) for each in services] == [1, 1, 1]


async def test_a_running_handler_dispatches_through_its_own_service():
    follow_up = greeting()

    async def first():
        await follow_up.dispatch(Welcome("u1"))

    running, other = (
        JobService(MemoryDriver(), jobs=[define_job(name="first", handler=first), follow_up]) for _ in "ab"
    )
    await running.enqueue("first")
    with other.as_current():
        assert await run_until_idle(running) == 2
    assert other.driver.enqueued == []


async def test_a_class_is_dispatched_by_its_instance():
    class SendWelcome(Job[Welcome]):
        async def handle(self, payload): ...

    service = service_of(SendWelcome)
    await SendWelcome().dispatch({"user_id": "u1"})
    assert service.driver.enqueued[0].job_name == "SendWelcome"


async def test_try_dispatch_gives_a_falsy_failure_with_its_error():
    job = greeting()
    service = service_of(job)
    assert await job.try_dispatch(Welcome("u1"))
    service.driver.fail_next(BrokerUnavailableError("down"))
    failure = await job.try_dispatch(Welcome("u1"))
    assert not failure
    assert isinstance(failure, EnqueueFailure)
    assert isinstance(failure.error, BrokerUnavailableError)
    for refused in (job.try_dispatch({"wrong": 1}), job.try_dispatch(Welcome("u1"), delay=60)):
        assert isinstance((await refused).error, EnqueueError)


async def test_dispatch_now_runs_here_and_returns_the_handlers_value():
    job = greeting()
    service = service_of(job)
    assert await job.dispatch_now({"user_id": "u1"}) == "u1/en"
    assert service.driver.enqueued == []
    with pytest.raises(ConfigurationError, match="as_current"):
        await greeting().dispatch_now(Welcome("u1"))


# -- run_now ------------------------------------------------------------------------------------------------


async def test_run_now_needs_no_broker(wrapped, driver):
    async def down(name, *args):
        raise BrokerUnavailableError("down")

    service = JobService(wrapped(driver, before=down), jobs=[greeting()])
    assert await service.run_now("greet", Welcome("u1", "de")) == "u1/de"


async def test_run_now_validates_and_parses(service):
    assert await service.run_now(greeting(), {"user_id": "u1"}) == "u1/en"
    with pytest.raises(InvalidJobPayloadError):
        await service.run_now("greet", {"user_id": 1})


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_run_now_raises_what_the_handler_raises(service, kind):
    async def failing(ctx):
        raise LookupError(ctx.attempt)

    def plain(ctx):
        raise LookupError(ctx.attempt)

    with pytest.raises(LookupError, match="1"):
        await service.run_now(define_job(name="x", handler=failing if kind == "async" else plain))


async def test_run_now_takes_a_class(service):
    class Add(Job[list[int]]):
        async def handle(self, payload, ctx):
            return sum(payload), ctx.job_name, ctx.queue

    assert await service.run_now(Add, [1, 2]) == (3, "Add", "default")


async def test_run_now_of_nothing_to_run_is_refused(service):
    with pytest.raises(UnknownJobError):
        await service.run_now("unknown")
    with pytest.raises(ConfigurationError, match="declaration"):
        await service.run_now(define_job(name="declared"))


async def test_run_now_gives_the_handler_its_services():
    class Mailer:
        async def __aenter__(self):
            return "mailer"

        async def __aexit__(self, *exc_info):
            closed.append(True)

    closed = []
    service = JobService(MemoryDriver(), services=Mailer)
    assert await service.run_now(define_job(name="x", handler=lambda ctx: ctx.services)) == "mailer"
    assert closed == [True]

"""Cases of Glasswork's own specifications, by the name of the behaviour. "Ours" marks a changed expectation.

Those that speak of SQS, EventBridge and Lambda are with the SQS driver's tests.
"""

from datetime import UTC, datetime, timedelta

import pytest

from waybill import (
    BrokerUnavailableError,
    DriverClosedError,
    EnqueueError,
    InvalidJobPayloadError,
    JobService,
    PayloadTooLargeError,
    Retry,
    TransientJobError,
    UnknownJobError,
    Worker,
    define_job,
    define_periodic_job,
)
from waybill.testing import MemoryDriver, run_until_idle
from waybill.timing import parse_duration

T0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def told():
    """What each hook was called with, in order."""
    return []


@pytest.fixture
def hooked(driver, told):
    def make(*jobs):
        names = ("on_job_start", "on_job_complete", "on_job_failed", "on_job_dead_letter")
        return JobService(driver, jobs=jobs, **{each: lambda job, each=each: told.append(each) for each in names})

    return make


# -- events --------------------------------------------------------------------------------------------


async def test_a_failing_async_resource_factory_surfaces_its_own_error_ours_at_start(driver):
    async def factory():
        raise OSError("no mail server")

    with pytest.raises(OSError, match="no mail server"):
        await Worker(JobService(driver, services=factory)).start()


# -- registry ------------------------------------------------------------------------------------------


def test_registry_register_and_get(service):
    job = define_job(name="ping", handler=lambda: None)
    service.registry.add(job)
    assert service.registry.get("ping") is job


def test_registry_get_of_an_unknown_name_raises_with_the_name(service):
    with pytest.raises(UnknownJobError, match="nope") as refusal:
        service.registry.get("nope")
    assert refusal.value.job_name == "nope"


# -- periodic ------------------------------------------------------------------------------------------


def test_a_periodic_definition_keeps_name_queue_and_handler_and_has_no_schema():
    def handler(): ...

    job = define_periodic_job(name="daily-report", handler=handler, queue="reports")
    assert (job.name, job.options.queue, job.handle, job.schema) == ("daily-report", "reports", handler, None)


# -- utils ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "seconds"), [(15, 15), ("2m", 120), ("1h", 3600), ("1d", 86_400)])
def test_durations(given, seconds):
    assert parse_duration(given) == timedelta(seconds=seconds)


def test_10x_is_no_duration():
    with pytest.raises(ValueError, match="10x"):
        parse_duration("10x")


@pytest.mark.parametrize("arguments", [(None,), ()])
async def test_none_counts_four_bytes_as_does_an_absent_payload(driver, arguments):
    assert await JobService(driver, max_payload_bytes=4).enqueue("ping", *arguments, queue="q")
    with pytest.raises(PayloadTooLargeError) as refusal:
        await JobService(driver, max_payload_bytes=3).enqueue("ping", *arguments, queue="q")
    assert (refusal.value.size, refusal.value.limit) == (4, 3)


# -- service -------------------------------------------------------------------------------------------


async def test_the_default_queue_is_used_when_the_job_names_none(driver):
    await JobService(driver, default_queue="main").enqueue(define_job(name="ping", handler=lambda: None))
    assert driver.enqueued[0].queue == "main"


async def test_a_schema_violation_is_refused_at_enqueue(service, driver):
    with pytest.raises(InvalidJobPayloadError):
        await service.enqueue(define_job(name="n", handler=lambda n: None, schema=int), "text")
    assert driver.enqueued == []


async def test_the_after_enqueue_hook_is_called_once_with_job_payload_and_result(driver):
    told = []
    service = JobService(driver, on_enqueued=lambda job, payload, result: told.append((job, payload, result)))
    result = await service.enqueue("ping", {"a": 1}, queue="q")
    [(job, payload, given)] = told
    assert (job.job_id, job.job_name, payload, given) == (result.job_id, "ping", {"a": 1}, result)


async def test_enqueue_at_reaches_the_driver_with_the_moment(service, driver):
    await service.enqueue_at("ping", None, T0 + timedelta(hours=1), queue="q")
    assert driver.enqueued[0].at == T0 + timedelta(hours=1)


async def test_a_driver_with_only_enqueue_in_serves_enqueue_at(clock):
    class Relative(MemoryDriver):
        async def enqueue_at(self, message, when):
            return await self.enqueue_in(message, when - self.clock.now())

    driver = Relative(clock=clock)
    await JobService(driver).enqueue_at("ping", None, T0 + timedelta(hours=1), queue="q")
    assert driver.enqueued[0].delay == timedelta(hours=1)


# -- mock ----------------------------------------------------------------------------------------------


async def test_an_injected_failure_hits_exactly_the_next_enqueue_and_the_failed_one_is_not_recorded(service, driver):
    driver.fail_next(BrokerUnavailableError("down"))
    with pytest.raises(EnqueueError):
        await service.enqueue("first", queue="q")
    await service.enqueue("second", queue="q")
    assert [each.job_name for each in driver.enqueued] == ["second"]


async def test_inline_calls_the_handler_with_payload_and_a_context(service, ran):
    async def handler(payload, ctx):
        ran.append((payload, ctx.attempt, ctx.enqueued_at.tzinfo is not None, bool(ctx.job_id)))

    await service.run_now(define_job(name="ping", handler=handler), {"a": 1})
    assert ran == [({"a": 1}, 1, True, True)]


async def test_inline_is_off_without_a_registered_job(service):
    with pytest.raises(UnknownJobError, match="ping"):
        await service.run_now("ping")


async def test_the_default_is_to_record_only(service, driver, ran):
    await service.enqueue(define_job(name="ping", handler=lambda: ran.append(1)))
    assert len(driver.enqueued) == 1
    assert ran == []


async def test_a_delayed_job_keeps_its_delay_when_it_is_run_in_the_test(service, driver, clock, ran):
    await service.enqueue_in(define_job(name="ping", handler=lambda: ran.append(clock.now())), None, "10m")
    assert driver.enqueued[0].delay == timedelta(minutes=10)
    await run_until_idle(service)
    assert ran == []
    clock.advance("10m")
    await run_until_idle(service)
    assert ran == [T0 + timedelta(minutes=10)]


# -- errors --------------------------------------------------------------------------------------------


def test_a_transient_error_keeps_retry_after():
    error = TransientJobError("busy", retry_after="10m")
    assert (str(error), error.retry_after) == ("busy", timedelta(minutes=10))


# -- running -------------------------------------------------------------------------------------------


async def test_a_good_job_calls_start_and_complete_once(hooked, told):
    service = hooked(define_job(name="ping", handler=lambda: None))
    await service.enqueue("ping")
    await run_until_idle(service)
    assert told == ["on_job_start", "on_job_complete"]


async def test_a_transient_error_calls_the_failed_hook_once_and_its_delay_is_applied(hooked, told, clock):
    async def handler(ctx):
        if ctx.attempt == 1:
            raise TransientJobError("busy", retry_after="10m")

    service = hooked(define_job(name="ping", handler=handler))
    await service.enqueue("ping")
    await run_until_idle(service)
    assert told == ["on_job_start", "on_job_failed"]
    clock.advance("9m59s")
    assert await run_until_idle(service) == 0
    clock.advance("1s")
    assert await run_until_idle(service) == 1


async def test_a_periodic_job_sent_by_name_is_a_success(hooked, told):
    service = hooked(define_periodic_job(name="daily-report", handler=lambda: None))
    await service.enqueue("daily-report")
    await run_until_idle(service)
    assert told == ["on_job_start", "on_job_complete"]


# -- retry ---------------------------------------------------------------------------------------------


async def fails():
    raise ValueError("no")


async def run_out(service, clock, times):
    for _ in range(times):
        await run_until_idle(service)
        clock.advance("2h")


async def test_retry_false_swallows_calls_the_failed_hook_once_and_no_dead_letter_hook(hooked, told, driver, clock):
    service = hooked(define_job(name="ping", handler=fails, retry=False))
    await service.enqueue("ping")
    await run_out(service, clock, 3)
    assert told == ["on_job_start", "on_job_failed"]
    assert driver.dead == []


async def test_exhausted_with_dead_letter_off_is_dropped_ours_without_the_dead_letter_hook(hooked, told, driver, clock):
    service = hooked(define_job(name="ping", handler=fails, retry=Retry(max_attempts=2, dead=False)))
    await service.enqueue("ping")
    await run_out(service, clock, 3)
    assert told == ["on_job_start", "on_job_failed"] * 2  # there is no dead letter to be told of
    assert driver.dead == []
    assert (await service.stats("default")).ready == 0


async def test_the_default_policy_makes_attempt_25_a_dead_letter(hooked, told, driver, clock):
    service = hooked(define_job(name="ping", handler=fails))
    await service.enqueue("ping")
    await run_out(service, clock, 26)
    assert told.count("on_job_failed") == 25
    assert [each.reason.attempt for each in driver.dead] == [25]


async def test_attempt_3_of_5_is_retried_and_no_dead_letter(hooked, told, driver, clock):
    service = hooked(define_job(name="ping", handler=fails, retry=5))
    await service.enqueue("ping")
    await run_out(service, clock, 3)
    assert told.count("on_job_failed") == 3
    assert driver.dead == []
    assert (await service.stats("default")).ready == 1


def test_minus_one_ours_is_refused_at_definition():
    with pytest.raises(ValueError, match="at least 1"):
        define_job(name="ping", handler=fails, retry=-1)


# -- close ---------------------------------------------------------------------------------------------


async def test_close_after_use_and_enqueue_after_close_raises(service):
    await service.enqueue("ping", queue="q")
    await service.close()
    await service.close()
    with pytest.raises(DriverClosedError):
        await service.enqueue("ping", queue="q")

"""A unique key is held until done, until started, or for a window; it is suppression, not a lock."""

import asyncio
from dataclasses import dataclass

import pytest

from waybill import (
    DuplicateJobError,
    EnqueueConfigurationError,
    JobService,
    Retry,
    TransientJobError,
    Unique,
    define_job,
)
from waybill.testing import run_until_idle


@dataclass
class Welcome:
    user_id: str
    locale: str = "en"


def unique_job(name="x", handler=lambda payload: None, **unique):
    return define_job(name=name, handler=handler, schema=Welcome, unique=Unique(key=lambda p: p.user_id, **unique))


def failing(payload):
    raise TransientJobError(retry_after=60)


U1 = Welcome("u1")


async def held(service, job):
    """Whether the key of U1 is held."""
    try:
        result = await service.enqueue(job, U1)
    except DuplicateJobError:
        return True
    await service.cancel(result.job_id, result.queue)
    return False


async def test_a_held_key_refuses_with_the_holders_id(service, driver):
    job = unique_job()
    first = await service.enqueue(job, U1)
    with pytest.raises(DuplicateJobError) as caught:
        await service.enqueue(job, {"user_id": "u1", "locale": "de"})
    assert (caught.value.key, caught.value.existing_job_id) == ("u1", first.job_id)
    assert len(driver.enqueued) == 1


async def test_a_skip_returns_the_holders_id(driver):
    announced = []
    service = JobService(driver, on_enqueued=lambda job: announced.append(job.job_id))
    job = unique_job(on_conflict="skip")
    first = await service.enqueue(job, U1)
    second = await service.enqueue(job, U1)
    assert (second.status, second.job_id, bool(second)) == ("duplicate", first.job_id, True)
    assert announced == [first.job_id]


async def test_the_key_sees_the_parsed_payload(service):
    seen = []
    job = define_job(name="x", schema=Welcome, unique=Unique(key=lambda p: seen.append(p) or p.locale))
    await service.enqueue(job, {"user_id": "u1"})
    assert seen == [Welcome("u1", "en")]


async def test_the_key_is_scoped_by_queue_and_job_name(service):
    await service.enqueue(unique_job("one"), U1)
    await service.enqueue(unique_job("two"), U1)
    await service.enqueue("one", U1, queue="other")
    with pytest.raises(DuplicateJobError):
        await service.enqueue("one", U1)


async def test_the_same_id_never_conflicts_with_itself(service, driver):
    job = unique_job()
    for _ in range(2):
        assert (await service.enqueue(job, U1, job_id="same")).status == "queued"
    assert len(driver.enqueued) == 1


async def test_a_key_of_none_is_not_unique(service, driver):
    job = define_job(name="x", unique=Unique(key=lambda p: None))
    await service.enqueue(job)
    await service.enqueue(job)
    assert len(driver.enqueued) == 2


async def test_a_key_that_cannot_be_computed_refuses_the_enqueue(service, driver):
    job = define_job(name="x", unique=Unique(key=lambda p: p.user_id))
    with pytest.raises(EnqueueConfigurationError, match="unique key cannot be computed: AttributeError"):
        await service.enqueue(job, {})
    assert driver.enqueued == []


async def test_of_50_concurrent_enqueues_one_wins(service, driver):
    job = unique_job()
    outcomes = await asyncio.gather(*(service.enqueue(job, U1) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(each, DuplicateJobError) for each in outcomes) == 49
    assert len(driver.enqueued) == 1


ENDS = ["ack", "dead", "purge", "cancel"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("window", [None, "5m"])
async def test_done_is_until_ack_dead_purge_or_cancel(service, end, window):
    def handler(payload):
        if end == "dead":
            raise ValueError

    job = define_job(
        name="x", handler=handler, schema=Welcome, retry=1, unique=Unique(key=str, until="done", window=window)
    )
    result = await service.enqueue(job, U1)
    assert await held(service, job)
    match end:
        case "purge":
            await service.purge("default")
        case "cancel":
            await service.cancel(result.job_id)
        case _:
            await run_until_idle(service)
    assert not await held(service, job)


async def test_a_window_caps_done(service, clock):
    job = unique_job(until="done", window="5m")
    await service.enqueue_in(job, U1, "1h")
    clock.advance("4m59s")
    assert await held(service, job)
    clock.advance("1s")
    assert not await held(service, job)


async def test_done_holds_while_delayed_leased_and_between_attempts(service, driver, clock):
    job = unique_job(handler=failing)
    await service.enqueue_in(job, U1, "1m")
    assert await held(service, job), "delayed"
    clock.advance("1m")
    [delivery] = await driver.receive("default", limit=1, wait=clock.now() - clock.now())
    assert await held(service, job), "leased"
    await driver.nack(delivery)
    await run_until_idle(service)
    assert await held(service, job), "waiting for its next attempt"


async def test_start_is_freed_when_a_worker_receives_it_and_never_taken_again(service, clock):
    job = unique_job(handler=failing, until="start")
    await service.enqueue(job, U1)
    assert await held(service, job)
    await run_until_idle(service)
    assert not await held(service, job)
    await service.enqueue(job, U1, job_id="second")
    clock.advance("1m")
    await run_until_idle(service)
    assert not await held(service, job)


@pytest.mark.parametrize("done", [False, True])
async def test_a_window_is_exactly_that_long_done_or_not(service, clock, done):
    job = unique_job(window="5m")
    await service.enqueue(job, U1)
    if done:
        await run_until_idle(service)
    clock.advance("4m59s")
    assert await held(service, job)
    clock.advance("1s")
    assert not await held(service, job)


async def test_a_retried_dead_letter_holds_its_key_again(service):
    job = define_job(name="x", handler=failing, schema=Welcome, retry=Retry(1), unique=Unique(key=lambda p: p.user_id))
    await service.enqueue(job, U1)
    await run_until_idle(service)
    assert not await held(service, job)
    await service.retry_dead("default")
    assert await held(service, job)

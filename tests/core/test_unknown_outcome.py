"""An enqueue whose answer never came is repeated with the same id, only within the driver's memory of ids."""

import asyncio
from datetime import timedelta

import pytest

from waybill import (
    BrokerUnavailableError,
    DriverClosedError,
    DuplicateJobError,
    EnqueueRejectedError,
    EnqueueUnknownError,
    JobService,
    define_job,
)

JOB = define_job(name="x")
HOUR = timedelta(hours=1)


@pytest.fixture
def forgetful(driver, wrapped):
    """A driver that stores the message or not, and then gives these answers in place of its own."""

    def make(*answers, stores=False, **claims):
        left = list(answers)

        async def answer(name, *args):
            if name.startswith("enqueue") and left:
                if stores:
                    await driver.enqueue(args[0])
                raise left.pop(0)

        return wrapped(driver, before=answer, **{"idempotent_enqueue": HOUR, **claims})

    return make


async def passing(clock, work, step="50ms"):
    """Let virtual time pass in steps until *work* is done."""
    task = asyncio.ensure_future(work)
    for _ in range(2000):
        for _ in range(5):
            await asyncio.sleep(0)
        if task.done():
            break
        clock.advance(step)
    return await task


def ids(spied):
    return [args[0].id for name, args in spied.calls if name == "enqueue"]


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("stores", [False, True])
async def test_an_unknown_outcome_is_repeated_with_the_same_id(forgetful, driver, clock, times, stores):
    spied = forgetful(*(EnqueueUnknownError("x") for _ in range(times)), stores=stores)
    result = await passing(clock, JobService(spied).enqueue(JOB))
    assert ids(spied) == [result.job_id] * (times + 1)
    assert len(driver.enqueued) == 1


async def test_a_broker_that_is_away_meanwhile_is_waited_for(forgetful, driver, clock):
    spied = forgetful(EnqueueUnknownError("x"), BrokerUnavailableError("restarting"), BrokerUnavailableError("still"))
    await passing(clock, JobService(spied).enqueue(JOB))
    assert len(driver.enqueued) == 1


async def test_it_is_repeated_until_the_enqueue_timeout(forgetful, clock):
    spied = forgetful(*(EnqueueUnknownError("x") for _ in range(1000)))
    service = await JobService(spied, enqueue_timeout="20s").open()
    start = clock.now()
    with pytest.raises(EnqueueUnknownError) as caught:
        await passing(clock, service.enqueue(JOB, job_id="mine"))
    assert caught.value.job_id == "mine"
    assert timedelta(seconds=17) < clock.now() - start <= timedelta(seconds=20.1)
    assert len(ids(spied)) > 10


@pytest.mark.parametrize("memory", [None, timedelta()], ids=["no memory", "while it is stored"])
async def test_it_is_not_repeated_where_the_driver_may_have_forgotten_the_id(forgetful, memory):
    spied = forgetful(EnqueueUnknownError("x"), idempotent_enqueue=memory)
    with pytest.raises(EnqueueUnknownError) as caught:
        await JobService(spied).enqueue(JOB, job_id="mine")
    assert caught.value.job_id == "mine"
    assert ids(spied) == ["mine"]


@pytest.mark.parametrize("pause", [0, 2, 3, 4], ids="{0} s until it is unknown".format)
@pytest.mark.parametrize("still", ["50ms", "800ms", "5s"])
async def test_it_is_not_repeated_beyond_the_drivers_memory(driver, wrapped, clock, pause, still):
    start, tries = clock.now(), []

    async def unknown(name, *args):
        if name == "enqueue":
            tries.append(clock.now() - start)
            if len(tries) == 1:
                clock.advance(pause)
            raise EnqueueUnknownError("x")

    service = await JobService(wrapped(driver, before=unknown, idempotent_enqueue=timedelta(seconds=3))).open()
    with pytest.raises(EnqueueUnknownError):
        await passing(clock, service.enqueue(JOB), still)
    assert tries[0] == timedelta()
    assert max(tries) < timedelta(seconds=3)


async def test_a_batch_is_not_repeated_beyond_the_drivers_memory_of_its_first_try(driver, wrapped, clock):
    tries = []

    async def unknown(name, *args):
        if name.startswith("enqueue"):
            tries.append(name)
            clock.advance("4s")
            raise EnqueueUnknownError("x")

    spied = wrapped(driver, "enqueue_batch", before=unknown, idempotent_enqueue=timedelta(seconds=3))
    result = await passing(clock, JobService(spied).enqueue_batch([(JOB, n) for n in range(3)]))
    assert tries == ["enqueue_batch"]
    assert [type(each) for each in result.failed] == [EnqueueUnknownError] * 3


@pytest.mark.parametrize(
    "error", [EnqueueRejectedError("full"), DriverClosedError("closed"), OSError("broken")], ids=repr
)
async def test_whatever_a_repeat_says_the_first_one_may_have_been_stored(forgetful, clock, error):
    with pytest.raises(EnqueueUnknownError) as caught:
        await passing(clock, JobService(forgetful(EnqueueUnknownError("x"), error)).enqueue(JOB))
    assert caught.value.__cause__ is error


async def test_a_repeat_that_finds_the_key_held_proves_that_nothing_was_stored(forgetful, clock):
    spied = forgetful(EnqueueUnknownError("x"), DuplicateJobError("key", "holder"))
    with pytest.raises(DuplicateJobError):
        await passing(clock, JobService(spied).enqueue(JOB))


async def test_any_other_error_is_not_repeated(forgetful):
    spied = forgetful(EnqueueRejectedError("full"))
    with pytest.raises(EnqueueRejectedError):
        await JobService(spied).enqueue(JOB)
    assert len(ids(spied)) == 1


async def test_the_items_of_a_batch_are_repeated_together(driver, wrapped, clock):
    answers = 0

    async def unknown(name, *args):
        nonlocal answers
        if name == "enqueue_batch" or (name == "enqueue" and answers < 150):
            answers += 1
            raise EnqueueUnknownError("x")

    service = await JobService(wrapped(driver, "enqueue_batch", before=unknown, idempotent_enqueue=HOUR)).open()
    start = clock.now()
    result = await passing(clock, service.enqueue_batch([(JOB, n) for n in range(50)]))
    assert len(result.ok) == len(driver.enqueued) == 50
    assert clock.now() - start < timedelta(seconds=30), "they waited for one another"

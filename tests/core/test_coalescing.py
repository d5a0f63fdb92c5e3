"""Concurrent calls share the driver's batch verbs; nothing waits for a timer, and a lone enqueue goes out at once."""

import asyncio
from collections import Counter

import pytest

from waybill import DuplicateJobError, EnqueueUnknownError, JobService, Unique, define_job
from waybill.sending.coalescer import Coalescer

JOB = define_job(name="x")


def slow(clock_steps=3):
    async def wait(name, *args):
        for _ in range(clock_steps if name.startswith(("enqueue", "ack")) else 0):
            await asyncio.sleep(0)

    return wait


async def test_a_lone_call_goes_out_at_once_by_the_single_verb(driver, wrapped):
    spied = wrapped(driver, "enqueue_batch")
    service = await JobService(spied).open()
    coroutine = service.enqueue(JOB)
    with pytest.raises(StopIteration):  # the memory driver never waits, so neither does the core
        coroutine.send(None)
    assert [name for name, _ in spied.calls] == ["open", "enqueue"]


async def test_256_concurrent_calls_become_few_batches(driver, wrapped):
    spied = wrapped(driver, "enqueue_batch", before=slow(), max_batch=100)
    service = await JobService(spied).open()
    results = await asyncio.gather(*(service.enqueue(JOB, n, job_id=f"id{n}") for n in range(256)))
    assert [each.job_id for each in results] == [f"id{n}" for n in range(256)]
    assert Counter(name for name, _ in spied.calls) == {"open": 1, "enqueue": 1, "enqueue_batch": 3}
    assert {each.payload for each in driver.enqueued} == set(range(256))


async def test_as_many_flights_as_the_driver_likes_are_under_way(driver, wrapped):
    spied = wrapped(driver, "enqueue_batch", before=slow(), max_batch=100, parallel_batches=4)
    service = await JobService(spied).open()
    await asyncio.gather(*(service.enqueue(JOB, n) for n in range(104)))
    assert Counter(name for name, _ in spied.calls) == {"open": 1, "enqueue": 4, "enqueue_batch": 1}


async def test_without_batch_verbs_every_call_goes_alone_and_at_once(driver, wrapped):
    spied = wrapped(driver, before=slow())
    service = JobService(spied)
    await asyncio.gather(*(service.enqueue(JOB, n) for n in range(20)))
    assert Counter(name for name, _ in spied.calls) == {"open": 1, "enqueue": 20}


async def test_each_caller_gets_its_own_outcome(driver, wrapped):
    service = await JobService(wrapped(driver, "enqueue_batch", before=slow())).open()
    unique = define_job(name="unique", unique=Unique(key=str))
    outcomes = await asyncio.gather(*(service.enqueue(unique, n // 2) for n in range(20)), return_exceptions=True)
    assert [isinstance(each, DuplicateJobError) for each in outcomes] == [False, True] * 10


async def test_a_cancelled_caller_disturbs_no_other(driver, wrapped):
    service = await JobService(wrapped(driver, "enqueue_batch", before=slow(10))).open()
    tasks = [asyncio.create_task(service.enqueue(JOB, n)) for n in range(10)]
    await asyncio.sleep(0)
    tasks[0].cancel()  # under way
    tasks[5].cancel()  # waiting for the next flight
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in outcomes].count(True) == 2
    sent = {each.payload for each in driver.enqueued}
    assert sent >= set(range(10)) - {0, 5}
    assert 5 not in sent, "it was cancelled before anything was sent"


async def test_a_cancelled_enqueue_repeated_with_its_id_is_stored_once(driver, wrapped):
    for steps in range(8):
        service = JobService(wrapped(driver, before=slow(3)))
        task = asyncio.create_task(service.enqueue(JOB, steps, job_id=f"id{steps}"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await service.enqueue(JOB, steps, job_id=f"id{steps}")
    assert sorted(each.payload for each in driver.enqueued) == list(range(8))


async def test_a_batch_that_fails_fails_each_of_its_callers(driver, wrapped):
    async def fail(name, *args):
        await slow()(name)
        if name == "enqueue_batch":
            raise OSError("broken driver")

    service = await JobService(wrapped(driver, "enqueue_batch", before=fail)).open()
    outcomes = await asyncio.gather(
        *(service.enqueue(JOB, n, job_id=f"id{n}") for n in range(5)), return_exceptions=True
    )
    assert [type(each).__name__ for each in outcomes] == ["EnqueueResult", *["EnqueueUnknownError"] * 4]
    assert [each.job_id for each in outcomes] == [f"id{n}" for n in range(5)]


async def test_a_driver_that_tells_too_few_outcomes_leaves_no_caller_waiting(driver, wrapped):
    broken = wrapped(driver, before=slow())

    async def enqueue_batch(items):
        return []

    broken.enqueue_batch = enqueue_batch
    service = await JobService(broken).open()
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*(service.enqueue(JOB) for _ in range(3)), return_exceptions=True)
    assert [isinstance(each, EnqueueUnknownError) for each in outcomes] == [False, True, True]


async def test_what_is_under_way_is_finished_before_the_driver_closes(driver, wrapped):
    service = await JobService(wrapped(driver, "enqueue_batch", before=slow(5))).open()
    tasks = [asyncio.create_task(service.enqueue(JOB, n)) for n in range(5)]
    await asyncio.sleep(0)
    await service.close()
    assert all(each.status == "queued" for each in await asyncio.gather(*tasks))


async def test_a_flight_takes_no_more_than_its_size():
    flown = []

    async def one(item):
        await asyncio.sleep(0)
        return item

    async def many(items):
        flown.append(len(items))
        return items

    coalescer = Coalescer(one, many, size=4)
    assert await asyncio.gather(*(coalescer(n) for n in range(11))) == list(range(11))
    assert flown == [4, 4, 2]


async def test_what_gathers_goes_together_with_all_of_the_same_turn_in_as_many_flights_as_there_are():
    flown, under_way, most = [], 0, 0

    async def many(items):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        flown.append(len(items))
        await asyncio.sleep(0)
        under_way -= 1
        return items

    coalescer = Coalescer(None, many, size=10, flights=3, gathers=True)
    assert await asyncio.gather(*(coalescer(n) for n in range(45))) == list(range(45))
    assert flown == [10, 10, 10, 10, 5]
    assert most == 3
    assert await coalescer("alone") == "alone"


async def test_draining_waits_for_what_has_only_been_gathered():
    async def many(items):
        await asyncio.sleep(0)
        return items

    coalescer = Coalescer(None, many, size=10, gathers=True)
    calls = [asyncio.ensure_future(coalescer(n)) for n in range(3)]
    await asyncio.sleep(0)
    await coalescer.drain()
    await asyncio.sleep(0)
    assert [each.result() for each in calls] == [0, 1, 2]


async def test_without_a_batch_verb_nothing_is_gathered():
    async def one(item):
        return item

    coroutine = Coalescer(one, None, size=1, gathers=True)("x")
    with pytest.raises(StopIteration, match="x"):
        coroutine.send(None)

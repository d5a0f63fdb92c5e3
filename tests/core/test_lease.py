"""A delivery belongs to its worker while its job runs: leases are renewed, and a lost one is told."""

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from waybill import JobService, LeaseLostError, Worker, define_job
from waybill.testing import MemoryDriver, run_until_idle

ZERO = timedelta()
SHORT = 0.3  # seconds of lease, in the few tests on the real clock


async def passing(clock, condition, step="1s"):
    """Let virtual time pass, a second at a time, until *condition*."""
    for _ in range(5000):
        for _ in range(4):
            await asyncio.sleep(0)
        if condition():
            return
        clock.advance(step)
    raise AssertionError("it never came to that")


def waiting(release, seen):
    async def handler(payload, ctx):
        seen.append(ctx)
        try:
            await release.wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    return define_job(name="x", handler=handler)


@pytest.mark.parametrize("verbs", [("extend",), ("extend", "extend_batch")], ids=["one by one", "in batches"])
async def test_the_lease_of_a_running_job_is_renewed(driver, wrapped, clock, until, verbs):
    release, seen = asyncio.Event(), []
    spied = wrapped(driver, *verbs)
    service = JobService(spied)
    job = waiting(release, seen)
    await service.enqueue_batch([(job, n) for n in range(3)])
    start = clock.now()
    async with Worker(service):
        await until(lambda: len(seen) == 3)
        await passing(clock, lambda: clock.now() - start > timedelta(minutes=10))
        assert await driver.clone().receive("default", limit=9, wait=ZERO) == []
        release.set()
    assert len(seen) == 3
    extends = [name for name, _ in spied.calls if name.startswith("extend")]
    assert 28 <= len(extends) / (3 if len(verbs) == 1 else 1) <= 30, "a third of the lease is 20 s"


async def test_no_lease_is_older_than_half_of_it_when_it_is_renewed(driver, wrapped, clock, until):
    left = []

    async def look(name, *args):
        if name == "extend":
            left.append((args[0].leased_until - clock.now()).total_seconds())

    release, seen = asyncio.Event(), []
    service = JobService(wrapped(driver, "extend", before=look))
    await service.enqueue(waiting(release, seen))
    async with Worker(service):
        await until(lambda: seen)
        await passing(clock, lambda: len(left) > 5)
        release.set()
    assert all(30 <= each <= 45 for each in left), left


async def test_the_newest_delivery_is_the_one_that_is_settled(driver, wrapped, clock, until):
    release, seen, acked = asyncio.Event(), [], []

    async def look(name, *args):
        if name == "ack":
            acked.append(args[0].leased_until)

    service = JobService(wrapped(driver, "extend", before=look))
    await service.enqueue(waiting(release, seen))
    start = clock.now()
    async with Worker(service):
        await until(lambda: seen)
        await passing(clock, lambda: clock.now() - start > timedelta(minutes=2))
        release.set()
    assert acked[0] > start + timedelta(minutes=2)


async def test_a_renewal_that_fails_is_tried_again(driver, wrapped, clock, until, caplog):
    faults = [OSError("broken"), OSError("broken")]

    async def fail(name, *args):
        if name == "extend" and faults:
            raise faults.pop()

    release, seen = asyncio.Event(), []
    service = JobService(wrapped(driver, "extend", before=fail))
    await service.enqueue(waiting(release, seen))
    start = clock.now()
    async with Worker(service):
        await until(lambda: seen)
        await passing(clock, lambda: clock.now() - start > timedelta(minutes=5))
        assert await driver.clone().receive("default", limit=9, wait=ZERO) == []
        release.set()
    assert len(seen) == 1


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_lost_lease_is_told_to_the_handler_and_nothing_is_settled(driver, wrapped, clock, until, kind, caplog):
    async def lose(name, *args):
        if name == "extend":
            raise LeaseLostError("another worker has it")

    seen, release = [], threading.Event()

    def plain(ctx):
        seen.append(ctx)
        release.wait(10)

    spied = wrapped(driver, "extend", before=lose)
    service = JobService(spied)
    await service.enqueue(define_job(name="y", handler=plain) if kind == "plain" else waiting(asyncio.Event(), seen))
    async with Worker(service):
        await until(lambda: seen)
        await passing(clock, lambda: bool(seen[0].lease_lost))
        assert seen[0].cancelled
        if kind == "async":
            await until(lambda: "cancelled" in seen)
        release.set()
    settled = [name for name, _ in spied.calls if name in ("ack", "nack", "release", "bury")]
    assert settled == ([] if kind == "async" else ["ack"]), (
        "a finished job is worth one ack, which the broker may refuse"
    )


async def test_without_extend_no_lease_is_renewed(driver, wrapped, clock, until):
    release, seen = asyncio.Event(), []
    service = JobService(wrapped(driver))
    await service.enqueue(waiting(release, seen))
    async with Worker(service):
        await until(lambda: seen)
        await passing(clock, lambda: len(seen) == 2)
        release.set()
    assert [each.attempt for each in seen] == [1, 2]


async def test_a_lease_of_the_connection_is_asked_whether_it_holds(driver, wrapped, clock, until):
    release, seen = asyncio.Event(), []
    spied = wrapped(driver, "extend", lease=None)
    service = JobService(spied)
    await service.enqueue(waiting(release, seen))
    start = clock.now()
    async with Worker(service):
        await until(lambda: seen)
        await passing(clock, lambda: clock.now() - start > timedelta(seconds=59))
        release.set()
    assert any(name == "extend" for name, _ in spied.calls)


# -- on the real clock ----------------------------------------------------------------------------------------


def real(job):
    driver = MemoryDriver(lease=f"{SHORT}s")
    return driver, JobService(driver, jobs=[job])


@pytest.mark.blocks_the_loop
async def test_an_async_handler_that_blocks_the_loop_for_three_leases_runs_once():
    attempts = []

    async def blocks(ctx):
        attempts.append(ctx.attempt)
        time.sleep(3 * SHORT)

    job = define_job(name="x", handler=blocks)
    driver, service = real(job)
    await service.enqueue("x")

    async def other_worker():
        async with Worker(JobService(driver, jobs=[job])):
            await asyncio.sleep(3.5 * SHORT)

    async with Worker(service):
        other = threading.Thread(target=lambda: asyncio.run(other_worker()))
        other.start()
        await asyncio.sleep(3.5 * SHORT)
    other.join()
    assert attempts == [1]


async def test_a_plain_handler_of_three_leases_runs_once():
    attempts = []

    def slow(ctx):
        attempts.append(ctx.attempt)
        time.sleep(3 * SHORT)

    job = define_job(name="x", handler=slow)
    driver, service = real(job)
    await service.enqueue("x")
    async with Worker(service), Worker(JobService(driver, jobs=[job])):
        await asyncio.sleep(3.5 * SHORT)
    assert attempts == [1]


async def test_jobs_that_are_done_in_time_need_no_renewal(driver, wrapped):
    spied = wrapped(driver, "extend")
    service = JobService(spied, jobs=[define_job(name="x", handler=lambda: None)])
    await service.enqueue("x")
    await run_until_idle(service)
    assert not any(name == "extend" for name, _ in spied.calls)

"""A worker's life: starting, running, stopping with grace, inside a web application, through a broker's absence."""

import asyncio
import itertools
import os
import signal
import threading
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from waybill import (
    BrokerUnavailableError,
    ConfigurationError,
    JobService,
    LeaseLostError,
    Note,
    PermanentJobError,
    Retry,
    TransientJobError,
    Worker,
    define_job,
)
from waybill.errors import EnqueueUnknownError
from waybill.running.recycling import Recycling, resident_bytes
from waybill.testing import MemoryDriver, run_until_idle

ZERO = timedelta()
RAN = []


@pytest.fixture(autouse=True)
def forget():
    RAN.clear()


async def handler(payload):
    RAN.append(payload)


JOB = define_job(name="x", handler=handler)


def waiting(release, started, **options):
    """A job that waits for an event, and says how it ended."""

    async def wait(payload, ctx):
        started.append(ctx)
        try:
            await release.wait()
        except asyncio.CancelledError:
            RAN.append("cancelled")
            raise
        RAN.append("done")

    return define_job(name="waiting", handler=wait, **options)


async def count(driver):
    stats = await driver.clone().stats("default")
    return (stats.ready, stats.delayed, stats.leased, stats.dead)


async def attempts(driver, clock):
    return [each.attempt for each in await driver.clone().receive("default", limit=10, wait=ZERO)]


# -- running ------------------------------------------------------------------------------------------------


async def test_run_until_idle_drains_and_counts_the_runs(service):
    async def chain(payload, ctx):
        if payload:
            await ctx.enqueue("chain", payload - 1)

    service.registry.add(define_job(name="chain", handler=chain))
    await service.enqueue("chain", 4)
    assert await run_until_idle(service) == 5
    assert await run_until_idle(service) == 0


async def test_it_works_beside_a_web_application_and_touches_no_signal(service, driver, until):
    service.registry.add(JOB)
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    async with Worker(service):
        assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
        for n in range(3):
            await service.enqueue(JOB, n)
        await until(lambda: len(RAN) == 3)
    assert await count(driver) == (0, 0, 0, 0)
    assert RAN == [0, 1, 2]


async def test_it_never_asks_for_more_jobs_than_it_has_free_slots(driver, wrapped):
    spied = wrapped(driver)
    service = JobService(spied, jobs=[JOB])
    await service.enqueue_batch([(JOB, n) for n in range(10)])
    await run_until_idle(service, concurrency=3)
    assert set(spied.limits) <= {1, 2, 3}
    assert max(spied.limits) == 3


async def test_it_holds_as_many_jobs_as_it_has_slots(service, driver, until):
    release, started = asyncio.Event(), []
    job = waiting(release, started)
    await service.enqueue_batch([(job, n) for n in range(10)])
    async with Worker(service, concurrency=3):
        await until(lambda: len(started) == 3)
        assert await count(driver) == (7, 0, 3, 0)
        release.set()
        await until(lambda: len(RAN) == 10)


async def test_a_job_that_came_begins_before_more_is_asked_for(driver, wrapped, until):
    order = []

    async def note(name, *args):
        order.append(name)

    async def begin(payload):
        order.append("begun")

    service = JobService(wrapped(driver, before=note), jobs=[define_job(name="y", handler=begin)])
    async with Worker(service):
        await until(lambda: "receive" in order)
        await service.enqueue("y")
        await until(lambda: order.count("receive") == 2)
    assert [each for each in order if each in {"receive", "begun"}][:3] == ["receive", "begun", "receive"]


async def test_high_priority_starts_first(service):
    for priority in (0, 9, 5):
        await service.enqueue(JOB, priority, priority=priority)
    await run_until_idle(service, concurrency=1)
    assert RAN == [9, 5, 0]


async def test_cancelling_run_is_a_graceful_stop(service, until):
    release, started = asyncio.Event(), []
    await service.enqueue(waiting(release, started))
    task = asyncio.create_task(Worker(service).run())
    await until(lambda: started)
    task.cancel()
    await until(lambda: bool(started[0].shutting_down))
    assert RAN == []
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert RAN == ["done"]


async def test_stopping_lets_running_jobs_finish_within_the_grace(service, driver, until):
    release, started = asyncio.Event(), []
    job = waiting(release, started)
    await service.enqueue(job)
    worker = Worker(service)
    running = asyncio.create_task(worker.run())
    await until(lambda: started)
    stopping = asyncio.create_task(worker.stop())
    await until(lambda: bool(started[0].shutting_down))
    await service.enqueue(job, "no new work")
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(started) == 1
    release.set()
    await asyncio.gather(stopping, running)
    assert RAN == ["done"]
    assert await count(driver) == (1, 0, 0, 0)


@pytest.mark.parametrize("grace", [ZERO, "10s"], ids=["at once", "after the grace"])
async def test_after_the_grace_the_rest_is_released_without_spending_an_attempt(service, driver, clock, until, grace):
    started = []
    await service.enqueue(waiting(asyncio.Event(), started))
    worker = Worker(service)
    running = asyncio.create_task(worker.run())
    await until(lambda: started)
    stopping = asyncio.create_task(worker.stop(grace=grace))
    if grace:
        await until(lambda: bool(started[0].shutting_down))
        clock.advance("9s")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not stopping.done()
        clock.advance("1s")
    await asyncio.gather(stopping, running)
    assert RAN == ["cancelled"]
    assert await attempts(driver, clock) == [1]


async def test_the_grace_is_the_workers_own_by_default(service, driver, clock, until):
    started = []
    await service.enqueue(waiting(asyncio.Event(), started))
    async with Worker(service, grace="5s"):
        await until(lambda: started)
        advance = asyncio.create_task(until(lambda: bool(started[0].shutting_down)))
        advance.add_done_callback(lambda _: clock.advance("5s"))
    assert RAN == ["cancelled"]


async def test_a_second_stop_with_a_shorter_grace_brings_the_end_forward(service, until):
    started = []
    await service.enqueue(waiting(asyncio.Event(), started))
    worker = Worker(service)
    await worker.__aenter__()
    await until(lambda: started)
    first = asyncio.create_task(worker.stop())
    await until(lambda: bool(started[0].shutting_down))
    await worker.stop(grace=ZERO)
    await first
    assert RAN == ["cancelled"]


async def test_a_plain_handler_that_never_ends_is_released_after_the_grace(service, driver, clock, until):
    release = threading.Event()
    started = []

    def stuck(ctx):
        started.append(ctx)
        release.wait(10)

    await service.enqueue(define_job(name="stuck", handler=stuck))
    worker = Worker(service, grace=ZERO)
    await worker.__aenter__()
    await until(lambda: started)
    await worker.stop()
    assert bool(started[0].cancelled)
    assert await attempts(driver, clock) == [1]
    release.set()


async def test_plain_jobs_that_wait_for_a_thread_are_released_and_never_begun(service, driver, clock, until):
    release, started = threading.Event(), []

    def slow(payload):
        started.append(payload)
        release.wait(10)

    job = define_job(name="slow", handler=slow)
    await service.enqueue_batch([(job, n) for n in range(3)])
    worker = Worker(service, threads=1, grace=ZERO)
    await worker.__aenter__()
    await until(lambda: started)
    await worker.stop()
    release.set()
    assert started == [0]
    assert await attempts(driver, clock) == [1, 1, 1]


async def test_the_wait_for_a_thread_is_no_part_of_a_jobs_timeout(service, driver, clock, until):
    gates = [threading.Event(), threading.Event()]
    started, cancelled = [], []

    def slow(payload, ctx):
        started.append(payload)
        gates[payload].wait(10)
        cancelled.append(bool(ctx.cancelled))

    job = define_job(name="slow", handler=slow, timeout="30s", retry=1)
    await service.enqueue_batch([(job, n) for n in range(2)])
    async with Worker(service, threads=1):
        await until(lambda: started == [0])
        clock.advance("25s")
        gates[0].set()
        await until(lambda: started == [0, 1])
        clock.advance("25s")
        for _ in range(20):
            await asyncio.sleep(0)
        gates[1].set()
        await until(lambda: len(cancelled) == 2)
    assert cancelled == [False, False]
    assert driver.dead == []


async def test_stopping_during_receive_loses_nothing(service, driver, until):
    for steps in range(12):
        worker = Worker(service)
        await worker.__aenter__()
        await service.enqueue(JOB, steps)
        for _ in range(steps):
            await asyncio.sleep(0)
        await worker.stop()
    await run_until_idle(service)
    assert sorted(RAN) == list(range(12))
    assert await count(driver) == (0, 0, 0, 0)


async def test_a_worker_can_be_started_again_after_it_stopped(service, until):
    worker = Worker(service, queues=["default"])
    service.registry.add(JOB)
    for n in range(3):
        async with worker:
            await service.enqueue(JOB, n)
            await until(lambda n=n: len(RAN) == n + 1)
    await worker.stop()


async def test_a_running_worker_is_not_started_twice(service):
    worker = Worker(service)
    async with worker:
        with pytest.raises(ConfigurationError, match="running already"):
            await worker.run_until_idle()


async def test_a_service_that_was_open_stays_open_and_one_that_was_not_is_disconnected(driver, wrapped):
    spied = wrapped(driver)
    async with JobService(spied) as service:
        await run_until_idle(service)
        assert spied.calls[-1][0] != "close"
    spied = wrapped(driver)
    await run_until_idle(JobService(spied))
    assert spied.calls[-1][0] == "close"


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"threads": 0}, {"grace": 30}, {"grace": "soon"}])
def test_a_setting_that_makes_no_sense_is_a_value_error(service, wrong):
    with pytest.raises(ValueError, match="at least 1|unit|durat"):
        Worker(service, **wrong)


async def test_an_error_note_of_the_driver_stops_a_worker_from_starting(driver, wrapped, caplog):
    sick = wrapped(driver)
    notes = [Note("warning", "it is slow", "buy a disk"), Note("error", "it drops jobs", "set noeviction")]

    async def diagnose():
        return notes

    sick.diagnose = diagnose
    with pytest.raises(ConfigurationError, match=r"it drops jobs.*set noeviction"):
        await Worker(JobService(sick)).run()
    assert "it is slow: buy a disk" in caplog.text
    notes.pop()
    assert await run_until_idle(JobService(sick)) == 0


async def test_a_second_signal_cuts_the_grace_short(service, until):
    started = []
    await service.enqueue(waiting(asyncio.Event(), started))
    task = asyncio.create_task(Worker(service).run(signals=True))
    await until(lambda: started)
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: bool(started[0].shutting_down))
    assert RAN == []
    os.kill(os.getpid(), signal.SIGINT)
    await task
    assert RAN == ["cancelled"]


# -- recycling ----------------------------------------------------------------------------------------------


async def test_it_stops_by_itself_after_so_many_jobs(service, driver):
    await service.enqueue_batch([(JOB, n) for n in range(5)])
    async with asyncio.timeout(5):
        await Worker(service, concurrency=1, max_jobs=3).run()
    assert RAN == [0, 1, 2]
    assert await count(driver) == (2, 0, 0, 0)


async def test_it_stops_by_itself_at_so_much_memory(service):
    async with asyncio.timeout(5):
        await Worker(service, max_memory=1).run()


def test_the_memory_of_this_process_is_known():
    assert 1_000_000 < resident_bytes() < 100_000_000_000
    assert Recycling(max_memory=100_000_000_000).due(0) is None


# -- a broker that goes and comes back ----------------------------------------------------------------------


async def test_a_hundred_workers_that_lost_their_broker_do_not_ask_it_together(clock, wrapped):
    asked, first = [], clock.monotonic()

    async def away(name, *args):
        if name == "receive":
            asked.append(clock.monotonic() - first)
            raise BrokerUnavailableError("away")

    async with AsyncExitStack() as stack:
        for _ in range(100):
            service = await stack.enter_async_context(JobService(wrapped(MemoryDriver(clock=clock), before=away)))
            await stack.enter_async_context(Worker(service))
        for _ in range(300):
            clock.advance(timedelta(seconds=0.1))
            for _ in range(5):
                await asyncio.sleep(0)
    later = Counter(int(at * 10) for at in asked if at > 5)
    assert 50 < sum(later.values()) / 25 < 150, "each asks about once a second"
    assert max(later.values()) < 40, "in no tenth of a second do they come in a crowd"


async def test_receiving_goes_on_after_the_broker_was_away(driver, wrapped, clock, until, caplog):
    down = True

    async def fail(name, *args):
        if down and name.startswith("receive"):
            raise BrokerUnavailableError("restarting")

    spied = wrapped(driver, "receive_many", before=fail)
    service = JobService(spied, jobs=[JOB])
    async with Worker(service):
        for _ in range(4):
            tried = sum(name == "receive" for name, _ in spied.calls)
            await until(
                lambda tried=tried: sum(name == "receive" for name, _ in spied.calls) > tried or clock.advance("2s")
            )
        down = False
        await service.enqueue(JOB, 1)
        await until(lambda: RAN or clock.advance("2s"))
    assert "receiving from default failed" in caplog.text
    assert "works again" in caplog.text or RAN == [1]


async def test_a_driver_that_breaks_in_an_unforeseen_way_is_asked_again(driver, wrapped, clock, until):
    faults = [OSError("broken"), RuntimeError("broken"), BrokerUnavailableError("down")]

    async def fail(name, *args):
        if faults and name == "receive":
            raise faults.pop()

    service = JobService(wrapped(driver, before=fail), jobs=[JOB])
    await service.enqueue(JOB, 1)
    async with Worker(service):
        await until(lambda: RAN or clock.advance("2s"))


async def pauses(driver, wrapped, clock, until):
    """Seconds between the tries of a worker whose broker is down."""
    tries = []

    async def fail(name, *args):
        if name == "receive":
            tries.append(clock.now())
            raise BrokerUnavailableError("down")

    async with Worker(JobService(wrapped(driver, before=fail))):
        await until(lambda: len(tries) > 12 or clock.advance("50ms"))
    return [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(tries)]


async def test_the_pause_between_tries_grows_up_to_two_seconds(driver, wrapped, clock, until, monkeypatch):
    monkeypatch.setattr("random.random", lambda: 1.0)
    found = await pauses(driver, wrapped, clock, until)
    assert found[:6] == pytest.approx([0.2, 0.4, 0.8, 1.6, 2, 2], abs=0.2)
    assert max(found) < 2.3


async def test_the_pause_between_tries_is_jittered(driver, wrapped, clock, until):
    found = await pauses(driver, wrapped, clock, until)
    assert len(set(found)) > 3
    assert max(found) < 2.3


@pytest.mark.parametrize("error", [ConfigurationError("wrong")], ids=["configuration"])
async def test_what_cannot_get_better_ends_the_run(driver, wrapped, error):
    async def fail(name, *args):
        if name == "receive":
            raise error

    with pytest.raises(ConfigurationError, match="wrong"):
        await Worker(JobService(wrapped(driver, before=fail))).run()


SETTLED = {
    "ack": (lambda: None, (0, 0, 0, 0)),
    "nack": (lambda: _raise(TransientJobError(retry_after="1h")), (0, 1, 0, 0)),
    "bury": (lambda: _raise(PermanentJobError("x")), (0, 0, 0, 1)),
}


def _raise(error):
    raise error


@pytest.mark.parametrize("happened", [False, True], ids=["it did not happen", "it happened"])
@pytest.mark.parametrize("verb", SETTLED)
async def test_a_settling_verb_is_repeated_while_the_lease_lasts(driver, wrapped, clock, until, verb, happened):
    failures = 3

    async def fail(name, *args):
        nonlocal failures
        if name == verb and failures:
            failures -= 1
            if happened and failures == 2:
                await getattr(driver, name)(*args, **({"delay": timedelta(hours=1)} if name == "nack" else {}))
            raise BrokerUnavailableError("cut")

    run, expected = SETTLED[verb]
    spied = wrapped(driver, "bury", before=fail)
    service = JobService(spied, jobs=[define_job(name="y", handler=run)])
    await service.enqueue("y")
    runs = asyncio.create_task(run_until_idle(service))
    await until(lambda: runs.done() or clock.advance("20ms"))
    assert runs.result() == 1
    assert await count(driver) == expected
    assert Counter(name for name, _ in spied.calls)[verb] >= (4 if not happened else 2)


async def test_what_cannot_be_settled_within_its_lease_runs_again(driver, wrapped, clock, until, caplog):
    async def fail(name, *args):
        if name == "ack" and len(RAN) < 2:
            raise BrokerUnavailableError("cut")

    service = JobService(wrapped(driver, before=fail), jobs=[JOB])
    await service.enqueue(JOB, 1)
    runs = asyncio.create_task(run_until_idle(service))
    await until(lambda: runs.done() or clock.advance("500ms"))
    assert "could not be settled, so it may run again" in caplog.text
    clock.advance("60s")
    await run_until_idle(service)
    assert RAN == [1, 1]
    assert await count(driver) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "error", [LeaseLostError("gone"), OSError("broken driver")], ids=lambda each: type(each).__name__
)
async def test_a_settling_verb_that_fails_for_good_costs_no_slot(driver, wrapped, error):
    async def fail(name, *args):
        if name == "ack":
            raise error

    service = JobService(wrapped(driver, before=fail), jobs=[JOB])
    await service.enqueue_batch([(JOB, n) for n in range(5)])
    assert await run_until_idle(service, concurrency=1) == 5


async def test_a_copy_to_the_dead_letters_with_an_unknown_outcome_is_repeated(driver, wrapped, clock, until):
    unknown = [EnqueueUnknownError("id")] * 2

    async def fail(name, *args):
        if name == "enqueue" and args[0].queue.endswith(".dead") and unknown:
            raise unknown.pop()

    service = JobService(wrapped(driver, before=fail), jobs=[define_job(name="y", handler=SETTLED["bury"][0])])
    await service.enqueue("y")
    runs = asyncio.create_task(run_until_idle(service))
    await until(lambda: runs.done() or clock.advance("20ms"))
    assert await count(driver) == (0, 0, 0, 0)
    assert [each.queue for each in driver.enqueued] == ["default", "default.dead"]


async def test_acks_travel_together(driver, wrapped):
    async def slow(name, *args):
        if name.startswith("ack"):
            for _ in range(3):
                await asyncio.sleep(0)

    spied = wrapped(driver, "ack_batch", "enqueue_batch", before=slow)
    service = JobService(spied, jobs=[JOB])
    await service.enqueue_batch([(JOB, n) for n in range(100)])
    assert await run_until_idle(service) == 100
    calls = Counter(name for name, _ in spied.calls)
    assert calls["ack"] + calls["ack_batch"] < 20
    assert await count(driver) == (0, 0, 0, 0)


async def test_a_retry_is_not_hot(service, driver, clock):
    failing = define_job(name="y", handler=lambda: 1 / 0, retry=Retry(backoff=lambda n: ZERO, max_attempts=4))
    await service.enqueue(failing)
    assert await run_until_idle(service) == 4, "a backoff of nothing is the application's own wish"


async def test_workers_of_two_services_share_a_queue_without_running_anything_twice(driver, clock, until):
    services = [JobService(driver, jobs=[JOB]) for _ in range(2)]
    await services[0].enqueue_batch([(JOB, n) for n in range(200)])
    async with Worker(services[0]), Worker(services[1]):
        await until(lambda: len(RAN) == 200)
    assert sorted(RAN) == list(range(200))
    assert isinstance(driver, MemoryDriver)

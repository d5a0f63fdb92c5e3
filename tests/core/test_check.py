"""check() holds every registered job against the driver's claims, and lists all mismatches with their cures."""

from datetime import timedelta

import pytest

from waybill import (
    DelayNotSupportedError,
    EnqueueError,
    JobService,
    Unique,
    UniqueClaim,
    UnsupportedError,
    Worker,
    define_job,
)
from waybill.testing import MemoryDriver

HOUR = timedelta(hours=1)
JOBS = {
    "delay": ({"delay": "2h"}, {"max_delay": HOUR}, "scheduler"),
    "priority": ({"priority": 5}, {"priorities": 1}, "queues in order of urgency"),
    "group": ({"group": "g"}, {"ordering": "fifo"}, "drop it"),
    "timeout": ({"timeout": "2h"}, {"max_run": HOUR}, "shorten it"),
    "unique": ({"unique": Unique(key=str, until="start")}, {"unique": UniqueClaim(frozenset({"done"}))}, "choose one"),
    "silent": ({"unique": Unique(key=str)}, {"unique": UniqueClaim(frozenset({"done"}), reported=False)}, "skip"),
}


def made(case, handler=lambda payload: None):
    return define_job(name=case, handler=handler, **JOBS[case][0])


@pytest.mark.parametrize("case", JOBS)
async def test_a_mismatch_is_told_with_its_cure(driver, wrapped, case):
    service = JobService(wrapped(driver, any_loop=True, **JOBS[case][1]), jobs=[made(case)])
    with pytest.raises(UnsupportedError) as caught:
        await service.check()
    [problem] = caught.value.problems
    assert problem.startswith(f"{case}: ")
    assert JOBS[case][2] in problem


@pytest.mark.parametrize("case", JOBS)
async def test_what_the_broker_keeps_passes(service, case):
    service.registry.add(made(case))
    service.check()
    await service.check()


async def test_all_mismatches_are_in_one_error(driver, wrapped):
    weak = {"max_delay": HOUR, "priorities": 1, "ordering": "none", "max_run": HOUR, "unique": UniqueClaim()}
    service = JobService(wrapped(driver, any_loop=True, **weak), jobs=[made(each) for each in JOBS])
    with pytest.raises(UnsupportedError) as caught:
        service.check()
    assert len(caught.value.problems) == len(JOBS)
    assert all(each in str(caught.value) for each in JOBS)


async def test_a_duplicate_that_is_skipped_may_be_dropped_silently(driver, wrapped):
    job = define_job(name="x", unique=Unique(key=str, on_conflict="skip"))
    silent = wrapped(driver, unique=UniqueClaim(frozenset({"done"}), reported=False))
    await JobService(silent, jobs=[job]).check()


async def test_a_limit_set_above_the_drivers_is_a_mismatch(driver, wrapped):
    with pytest.raises(UnsupportedError, match="max_payload_bytes"):
        await JobService(wrapped(driver, max_message_bytes=1000), max_payload_bytes=1001).check()
    await JobService(wrapped(driver, max_message_bytes=1000)).check()


async def test_it_connects_where_the_claims_are_not_known_before(driver, wrapped):
    spied = wrapped(driver)
    service = JobService(spied, jobs=[made("delay")])
    await service.check()
    assert [name for name, _ in spied.calls] == ["open"]
    service.check()


def test_it_raises_at_once_where_they_are(driver, wrapped):
    service = JobService(wrapped(driver, any_loop=True, priorities=1), jobs=[made("priority")])
    with pytest.raises(UnsupportedError):
        service.check()


async def test_each_broker_is_held_against_its_own_jobs(driver, wrapped):
    weak = wrapped(MemoryDriver(), any_loop=True, priorities=1)
    plain = define_job(name="plain", queue="weak", handler=lambda: None)
    service = JobService(driver, jobs=[made("priority"), plain], drivers={"weak": weak})
    service.check()
    service.registry.add(define_job(name="high", queue="weak", priority=9))
    with pytest.raises(UnsupportedError, match="high"):
        service.check()


async def test_a_worker_runs_it_at_its_start(driver, wrapped):
    service = JobService(wrapped(driver, priorities=1), jobs=[made("priority")])
    with pytest.raises(UnsupportedError):
        await Worker(service).run()


# -- the same at enqueue --------------------------------------------------------------------------------------

REFUSED = {"priority": {"priorities": 1}, "unique": {"unique": UniqueClaim()}, "group": {"ordering": "none"}}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_the_broker_cannot_keep_is_refused_before_any_verb(driver, wrapped, case):
    spied = wrapped(driver, "enqueue_batch", **REFUSED[case])
    service, job = JobService(spied), made(case)
    for refused in (service.enqueue(job), service.enqueue_batch([(job, None)])):
        with pytest.raises(UnsupportedError) as caught:
            await refused
        assert isinstance(caught.value, EnqueueError)
    assert [name for name, _ in spied.calls] == ["open"]


async def test_a_delay_beyond_the_drivers_longest_is_refused(driver, wrapped, clock):
    spied = wrapped(driver, max_delay=HOUR)
    service, job = JobService(spied), define_job(name="x")
    await service.enqueue_in(job, None, "1h")
    await service.enqueue_at(job, None, clock.now() + HOUR)
    second = timedelta(seconds=1)
    late = (service.enqueue_in(job, None, HOUR + second), service.enqueue_at(job, None, clock.now() + HOUR + second))
    for refused in late:
        with pytest.raises(DelayNotSupportedError) as caught:
            await refused
        assert isinstance(caught.value, EnqueueError)
        assert isinstance(caught.value, UnsupportedError)
        assert (caught.value.delay, caught.value.limit) == (HOUR + second, HOUR)
    assert len(driver.enqueued) == 2


@pytest.mark.parametrize(
    ("levels", "mapped"), [(10, list(range(10))), (2, [0] * 5 + [1] * 5), (3, [0, 0, 0, 0, 1, 1, 1, 2, 2, 2])]
)
async def test_the_ten_priorities_are_mapped_onto_the_brokers(driver, wrapped, levels, mapped):
    service, job = JobService(wrapped(driver, priorities=levels)), define_job(name="x")
    for priority in range(10):
        await service.enqueue(job, priority=priority)
    assert [each.message.priority for each in driver.enqueued] == mapped

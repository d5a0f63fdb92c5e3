"""Modules group jobs, with defaults for those that set none."""

import pytest

from waybill import ConfigurationError, DuplicateJobNameError, Job, JobModule, JobService, Retry, define_job
from waybill.testing import MemoryDriver, run_until_idle


def handled(name="x", **options):
    return define_job(name=name, handler=lambda: None, **options)


class Written(Job):
    def handle(self): ...


async def test_a_worker_runs_a_job_of_a_nested_module(driver):
    root = JobModule("root", modules=[JobModule("inner", jobs=[handled(), Written])])
    service = JobService(driver, jobs=[root])
    await service.enqueue("x")
    await service.enqueue("Written")
    assert await run_until_idle(service) == 2


def test_a_modules_queue_and_retry_hold_for_jobs_that_set_none(driver):
    own = handled("own", queue="own", retry=1)
    inner = JobModule("inner", jobs=[handled("bare"), own], retry=7)
    service = JobService(driver, jobs=[JobModule("outer", modules=[inner], queue="outer", retry=3)], retry=2)
    found = {each.job.name: (each.queue, each.retry.max_attempts) for each in service.registry}
    assert found == {"bare": ("outer", 7), "own": ("own", 1)}


def test_the_services_retry_and_queue_hold_for_the_rest(driver):
    service = JobService(driver, jobs=[handled()], retry=Retry(2), default_queue="main")
    [found] = service.registry
    assert (found.queue, found.retry.max_attempts) == ("main", 2)


def test_a_cycle_of_modules_raises(driver):
    inner = JobModule("inner", modules=[])
    outer = JobModule("outer", modules=[inner])
    inner.modules.append(outer)
    with pytest.raises(ConfigurationError, match="outer → inner → outer"):
        JobService(driver, jobs=[outer])


@pytest.mark.parametrize("one", [JobModule("m", jobs=[handled()]), handled()], ids=["module", "job"])
def test_one_alone_needs_no_list(driver, one):
    assert [each.job.name for each in JobService(driver, jobs=one).registry] == ["x"]


def test_a_module_reached_twice_is_no_cycle(driver):
    shared = JobModule("shared", jobs=[handled()])
    JobService(driver, jobs=[JobModule("a", modules=[shared]), JobModule("b", modules=[shared])])


@pytest.mark.parametrize(
    "second",
    [handled("x"), handled("y", aliases=["x"]), handled("z", aliases=["old"])],
    ids=["name", "alias of a name", "alias of an alias"],
)
def test_duplicate_names_raise(driver, second):
    with pytest.raises(DuplicateJobNameError):
        JobService(driver, jobs=[handled("x", aliases=["old"]), second])


def test_a_name_that_is_an_alias_already_raises(driver):
    with pytest.raises(DuplicateJobNameError):
        JobService(driver, jobs=[handled("x", aliases=["old"]), handled("old")])


def test_the_same_job_twice_is_one(driver):
    same = handled()
    assert len(list(JobService(driver, jobs=[same, same, Written, Written()]).registry)) == 2


@pytest.mark.parametrize("wrong", [5, "x", print, int], ids=repr)
def test_what_is_no_job_is_refused(driver, wrong):
    with pytest.raises(ConfigurationError, match="is no job"):
        JobService(driver, jobs=[wrong])


def test_a_class_that_needs_arguments_is_refused_with_the_cure(driver):
    class Needy(Job):
        def __init__(self, mailer): ...

        def handle(self): ...

    with pytest.raises(ConfigurationError, match="pass an instance"):
        JobService(driver, jobs=[Needy])
    JobService(driver, jobs=[Needy("mailer")])


async def test_workers_accept_old_names():
    got = []
    renamed = define_job(name="new", handler=lambda ctx: got.append(ctx.job_name), aliases=["old"])
    driver = MemoryDriver()
    await JobService(driver).enqueue("old", queue="default")
    assert await run_until_idle(JobService(driver, jobs=[renamed])) == 1
    assert got == ["old"]

"""Hooks: each one, by name and by place, sync and async; one that raises changes nothing."""

import asyncio
import contextlib
import inspect
from datetime import timedelta
from unittest.mock import AsyncMock, Mock

import pytest

from waybill import (
    ConfigurationError,
    EnqueueResult,
    JobContext,
    JobExecution,
    JobService,
    Retry,
    Worker,
    define_job,
    hookimpl,
)
from waybill.hooks import Specs
from waybill.testing import MemoryDriver, run_until_idle

FINE = define_job(name="fine", handler=lambda payload: "result")
FAILING = define_job(name="failing", handler=lambda payload: 1 / 0, retry=Retry(2, backoff="1s"))
SPECS = [name for name in vars(Specs) if name.startswith("waybill_")]


class Everything:
    """A plugin that takes every parameter of every hook."""

    def __init__(self):
        self.told = {}

    @hookimpl
    def waybill_job_enqueued(self, job, payload, result):
        self.told["job_enqueued"] = (job, payload, result)

    @hookimpl
    def waybill_job_start(self, job, ctx, context):
        self.told["job_start"] = (job, ctx, context)

    @hookimpl
    async def waybill_job_complete(self, job, ctx, context, result):
        self.told["job_complete"] = (job, ctx, context, result)

    @hookimpl
    async def waybill_job_failed(self, job, ctx, context, error, err, retry_in):
        self.told["job_failed"] = (job, ctx, context, error, err, retry_in)

    @hookimpl
    def waybill_job_dead_letter(self, job, ctx, context, error, err):
        self.told["job_dead_letter"] = (job, ctx, context, error, err)

    @hookimpl
    @contextlib.asynccontextmanager
    async def waybill_around_job(self, job, ctx, context):
        self.told["around_job"] = (job, ctx, context)
        yield

    @hookimpl
    def waybill_worker_start(self, worker):
        self.told["worker_start"] = worker

    @hookimpl
    async def waybill_worker_stop(self, worker):
        self.told["worker_stop"] = worker


@pytest.fixture
async def told(driver, clock):
    """What a plugin heard of one job that went well and one that died."""
    plugin = Everything()
    service = JobService(driver, plugins=[plugin])
    plugin.result = await service.enqueue(FINE, 1, job_id="id1", metadata={"m": 1})
    await run_until_idle(service)
    plugin.fine = dict(plugin.told)
    await service.enqueue(FAILING, 2)
    for _ in range(2):
        await run_until_idle(service)
        plugin.first_failure = plugin.first_failure if hasattr(plugin, "first_failure") else plugin.told["job_failed"]
        clock.advance("1s")
    return plugin


def test_every_hook_is_tried_here():
    assert [each for each in SPECS if not hasattr(Everything, each)] == []


async def test_every_hook_fires(told):
    assert {f"waybill_{name}" for name in told.told} == set(SPECS)


async def test_enqueued_is_told_after_the_broker_accepted(told):
    job, payload, result = told.fine["job_enqueued"]
    assert (job.job_id, job.job_name, job.queue, job.attempt, job.metadata) == ("id1", "fine", "default", 0, {"m": 1})
    assert payload == job.payload == 1
    assert result == told.result
    assert isinstance(result, EnqueueResult)


async def test_start_and_complete_are_told_of_one_execution(told):
    job, ctx, context = told.fine["job_start"]
    assert isinstance(job, JobExecution)
    assert isinstance(ctx, JobContext)
    assert ctx is context
    assert (job.job_id, job.job_name, job.queue, job.payload, job.attempt) == ("id1", "fine", "default", 1, 1)
    assert (job.metadata, job.enqueued_at) == ({"m": 1}, ctx.enqueued_at)
    assert told.fine["job_complete"] == (job, ctx, ctx, "result")
    with pytest.raises(AttributeError):
        job.payload = 2


async def test_failed_is_told_when_it_runs_again_or_that_it_never_does(told):
    assert told.first_failure[5] == timedelta(seconds=1)
    job, ctx, _, error, err, retry_in = told.told["job_failed"]
    assert (job.attempt, retry_in) == (2, None)
    assert error is err
    assert isinstance(error, ZeroDivisionError)
    assert told.told["job_dead_letter"][:3] == (job, ctx, ctx)


async def test_the_worker_is_told_of_itself(told):
    assert isinstance(told.told["worker_start"], Worker)
    assert isinstance(told.told["worker_stop"], Worker)


# -- single functions ---------------------------------------------------------------------------------------

ARGUMENTS = {
    "on_enqueued": ("job_enqueued", FINE),
    "on_job_start": ("job_start", FINE),
    "on_job_complete": ("job_complete", FINE),
    "on_job_failed": ("job_failed", FAILING),
    "on_job_dead_letter": ("job_dead_letter", FAILING),
}
FIRST_TWO = {"on_enqueued": ("job", "payload")}


async def heard(argument, function, *, on_worker=False):
    """Have *function* called once by a hook argument of the service or the worker."""
    service = JobService(MemoryDriver(), **({} if on_worker else {argument: function}))
    job = ARGUMENTS[argument][1]
    await service.enqueue(job, "payload", retries=0)
    await run_until_idle(service, **({argument: function} if on_worker else {}))


def describe(value):
    kinds = {JobExecution: "job", JobContext: "ctx", EnqueueResult: "enqueue result"}
    return kinds.get(type(value), "error" if isinstance(value, Exception) else value)


@pytest.mark.parametrize("argument", ARGUMENTS)
async def test_a_function_is_bound_by_name_in_any_order(argument):
    got = []
    names = [
        each
        for each in inspect.signature(getattr(Specs, f"waybill_{ARGUMENTS[argument][0]}")).parameters
        if each != "self"
    ]
    source = f"lambda {', '.join(reversed(names))}: got.append(dict({', '.join(f'{each}={each}' for each in names)}))"
    await heard(argument, eval(source, {"got": got}))
    [values] = got
    assert describe(values["job"]) == "job"
    assert values.get("ctx") is values.get("context")
    assert values.get("err") is values.get("error")
    expected = {
        "error": "error",
        "result": "enqueue result" if argument == "on_enqueued" else "result",
        "payload": "payload",
    }
    assert all(describe(values[name]) == what for name, what in expected.items() if name in values)


@pytest.mark.parametrize("argument", ARGUMENTS)
async def test_a_function_of_other_names_is_bound_by_place(argument):
    got = []
    await heard(argument, lambda one, two: got.append((describe(one), describe(two))))
    assert got == [("job", "payload" if argument == "on_enqueued" else "ctx")]


@pytest.mark.parametrize("argument", ["on_job_start", "on_job_failed", "on_job_dead_letter"])
async def test_the_third_place_is_the_error(argument):
    got = []
    await heard(argument, lambda j, c, e: got.append(describe(e)))
    assert got == [None if argument == "on_job_start" else "error"]


@pytest.mark.parametrize("argument", ["on_job_start", "on_job_complete", "on_job_failed", "on_job_dead_letter"])
async def test_one_function_of_job_ctx_err_serves_them_all(argument):
    got = []

    def record(job, ctx, err=None):
        got.append((describe(job), describe(ctx)))

    await heard(argument, record)
    assert got == [("job", "ctx")]


FORMS = {
    "job alone": lambda got: lambda job: got.append(job),
    "any place": lambda got: lambda *args: got.append(args[0]),
    "any name": lambda got: lambda **named: got.append(named["job"]),
    "any at all": lambda got: lambda *args, **named: got.append(args[0]),
    "keyword only": lambda got: lambda *, job: got.append(job),
    "a further default": lambda got: lambda job, seen=got: seen.append(job),
    "a method": lambda got: got.append,
    "a mock": lambda got: Mock(side_effect=lambda *args: got.append(args[0])),
    "an async mock": lambda got: AsyncMock(side_effect=lambda *args: got.append(args[0])),
}


@pytest.mark.parametrize("on_worker", [False, True], ids=["service", "worker"])
@pytest.mark.parametrize("form", FORMS)
async def test_a_function_takes_what_it_can(form, on_worker):
    got = []
    await heard("on_job_failed", FORMS[form](got), on_worker=on_worker)
    assert [describe(each) for each in got] == ["job"]


async def test_a_function_may_be_async():
    got = []

    async def later(job):
        await asyncio.sleep(0)
        got.append(job.job_name)

    await heard("on_job_complete", later)
    assert got == ["fine"]


@pytest.mark.parametrize("function", [lambda a, b, c, d: None, lambda job, *, nothing: None], ids=["places", "keyword"])
def test_a_function_that_wants_more_than_there_is_is_refused(function):
    with pytest.raises(ConfigurationError, match="on_job_failed"):
        JobService(MemoryDriver(), on_job_failed=function)


async def test_functions_of_the_service_and_of_the_worker_both_fire():
    got = []
    service = JobService(MemoryDriver(), jobs=[FINE], on_job_start=lambda: got.append("service"))
    await service.enqueue(FINE)
    await run_until_idle(service, on_job_start=lambda: got.append("worker"))
    assert got == ["service", "worker"]
    await service.enqueue(FINE)
    await run_until_idle(service)
    assert got == ["service", "worker", "service"]


# -- raising ------------------------------------------------------------------------------------------------


class Raising:
    def __init__(self, error):
        self.error = error

    @hookimpl
    def waybill_job_enqueued(self):
        raise self.error

    @hookimpl
    async def waybill_job_start(self):
        raise self.error

    @hookimpl
    def waybill_job_complete(self):
        raise self.error

    @hookimpl
    def waybill_job_failed(self):
        raise self.error

    @hookimpl
    async def waybill_job_dead_letter(self):
        raise self.error

    @hookimpl
    def waybill_around_job(self):
        raise self.error

    @hookimpl
    def waybill_worker_start(self):
        raise self.error

    @hookimpl
    def waybill_worker_stop(self):
        raise self.error


RAISED = [ValueError("hook"), SystemExit(1), asyncio.CancelledError(), KeyError("x")]


@pytest.mark.parametrize("error", RAISED, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("job", [FINE, FAILING], ids=["fine", "failing"])
async def test_a_hook_that_raises_stops_no_other_and_changes_no_fate(driver, caplog, error, job):
    plugin = Everything()
    service = JobService(driver, plugins=[Raising(error), plugin, Raising(error)])
    assert (await service.enqueue(job, retries=0)).status == "queued"
    assert await run_until_idle(service) == 1
    assert len(driver.dead) == (job is FAILING)
    assert {"job_enqueued", "job_start", "around_job", "worker_start", "worker_stop"} <= set(plugin.told)
    assert ("job_complete" in plugin.told) == (job is FINE)
    assert ("job_failed" in plugin.told) == ("job_dead_letter" in plugin.told) == (job is FAILING)
    assert "hook waybill_job_start raised; the job's fate does not change" in caplog.text


async def test_a_caller_that_is_cancelled_in_a_hook_is_cancelled(driver):
    begun = asyncio.Event()

    async def endless():
        begun.set()
        await asyncio.Event().wait()

    service = JobService(driver, on_enqueued=endless)
    enqueuing = asyncio.create_task(service.enqueue(FINE))
    await begun.wait()
    enqueuing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await enqueuing
    assert len(driver.enqueued) == 1


# -- around -------------------------------------------------------------------------------------------------


class Around:
    def __init__(self, name, trace, fault=None, swallow=False):
        self.name, self.trace, self.fault, self.swallow = name, trace, fault, swallow

    @hookimpl
    def waybill_around_job(self, job, ctx):
        return self

    async def __aenter__(self):
        self.trace.append(f"+{self.name}")
        if self.fault == "enter":
            raise LookupError

    async def __aexit__(self, kind, error, traceback):
        self.trace.append(f"-{self.name} {kind.__name__ if kind else ''}".strip())
        if self.fault == "exit":
            raise LookupError
        return self.swallow


@pytest.mark.parametrize("job", [FINE, FAILING], ids=["fine", "failing"])
@pytest.mark.parametrize("fault", [None, "enter", "exit"])
async def test_around_stands_around_the_handler_and_its_faults_are_its_own(driver, job, fault):
    trace = []
    service = JobService(driver, plugins=[Around("c", trace), Around("b", trace, fault), Around("a", trace)])
    await service.enqueue(job, retries=0)
    await run_until_idle(service)
    error = "" if job is FINE else " ZeroDivisionError"
    ends = [f"-c{error}", f"-b{error}", f"-a{error}"]
    assert trace == ["+a", "+b", "+c", *(each for each in ends if not (fault == "enter" and each.startswith("-b")))]
    assert len(driver.dead) == (job is FAILING)


async def test_around_cannot_swallow_the_handlers_error(driver):
    service = JobService(driver, plugins=[Around("a", [], swallow=True)])
    await service.enqueue(FAILING, retries=0)
    await run_until_idle(service)
    assert len(driver.dead) == 1


# -- plugins ------------------------------------------------------------------------------------------------


def plugin(**functions):
    return type("Plugin", (), {name: staticmethod(hookimpl(each)) for name, each in functions.items()})()


WRONG = {
    "unknown hook": plugin(waybill_job_strat=lambda job: None),
    "unknown parameter": plugin(waybill_job_start=lambda jbo: None),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_unknown_hook_or_parameter_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="waybill_job_st"):
        JobService(MemoryDriver(), plugins=[WRONG[wrong]])


async def test_a_plugin_names_what_it_wants():
    got = []
    some = plugin(
        waybill_job_start=lambda: got.append("nothing"),
        waybill_job_complete=lambda result, job: got.append((result, job.job_name)),
        waybill_job_enqueued=lambda job, *, result: got.append(result.status),
    )
    service = JobService(MemoryDriver(), plugins=[some])
    await service.enqueue(FINE)
    await run_until_idle(service)
    assert got == ["queued", "nothing", ("result", "fine")]


async def test_the_plugin_given_last_is_called_first_and_functions_follow():
    got = []
    plugins = [plugin(waybill_job_start=lambda name=name: got.append(name)) for name in "abc"]
    service = JobService(MemoryDriver(), plugins=plugins, on_job_start=lambda: got.append("function"))
    await service.enqueue(FINE)
    await run_until_idle(service)
    assert got == ["c", "b", "a", "function"]


async def test_no_hook_is_told_of_a_job_that_was_not_accepted(driver):
    plugin = Everything()
    driver.fail_next(ValueError("full"))
    result = await JobService(driver, plugins=[plugin]).enqueue_batch([(FINE, 1), (FINE, 2)])
    assert len(result.ok) in (0, 1)
    assert ("job_enqueued" in plugin.told) == bool(result.ok)


async def test_a_batch_announces_each_accepted_job(driver):
    got = []
    await JobService(driver, on_enqueued=lambda payload: got.append(payload)).enqueue_batch(
        [(FINE, n) for n in range(3)]
    )
    assert got == [0, 1, 2]

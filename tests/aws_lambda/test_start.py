"""What a container makes once: the service, its connection, what handlers use."""

import asyncio
import contextlib
import contextvars
import functools
import threading

import pytest

from waybill import ConfigurationError, JobService, UnsupportedError, hookimpl, job
from waybill.testing import MemoryDriver
from waybill_sqs import bootstrap_worker


@pytest.fixture
def event(record):
    return {"Records": [record({"jobName": "seeing"})]}


@pytest.fixture
def seen():
    return []


@pytest.fixture
def seeing(seen):
    @job
    async def seeing(ctx):
        seen.append((ctx.services, asyncio.get_running_loop()))

    return seeing


def test_resources_are_made_once_and_the_loop_is_the_same_for_every_event(bootstrap, event, driver, seeing, seen):
    made = []

    @contextlib.asynccontextmanager
    async def resources():
        made.append("made")
        yield len(made)
        made.append("closed")

    def service():
        made.append("service")
        return JobService(driver, jobs=[seeing], services=resources)

    handler = bootstrap(service=service)
    assert made == []  # nothing happens while a module is imported
    for _ in range(3):
        handler(event, None)
    handler({"jobName": "seeing"}, None)
    assert made == ["service", "made"]
    assert len(set(seen)) == 1
    handler.close()
    assert made == ["service", "made", "closed"]


def test_a_resource_that_cannot_be_made_raises_its_own_error_and_is_tried_again(bootstrap, event, driver, seeing, seen):
    tries = []

    async def resources():
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("Provider initialization failed")
        return "made"

    handler = bootstrap(service=JobService(driver, jobs=[seeing], services=resources))
    with pytest.raises(RuntimeError, match="Provider initialization failed"):
        handler(event, None)
    with pytest.raises(RuntimeError, match="Provider initialization failed"):
        handler({"jobName": "seeing"}, None)
    assert handler(event, None) == {"batchItemFailures": []}
    assert [each[0] for each in seen] == ["made"]


def test_in_lambda_resources_are_made_ahead_of_the_first_event(bootstrap, event, driver, seeing, monkeypatch, caplog):
    made = []
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "jobs")
    handler = bootstrap(service=JobService(driver, jobs=[seeing], services=lambda: made.append(1)))
    assert made == [1]
    handler(event, None)
    assert made == [1]

    def broken():
        raise RuntimeError("not yet")

    late = bootstrap(service=JobService(driver, jobs=[seeing], services=broken))
    assert "not yet" in caplog.text
    with pytest.raises(RuntimeError, match="not yet"):
        late(event, None)


def test_jobs_are_held_against_the_broker_at_the_start(bootstrap, event, wrapped):
    @job(priority=9)
    async def seeing(): ...

    with pytest.raises(UnsupportedError, match="priorit"):
        bootstrap(service=JobService(wrapped(MemoryDriver(), priorities=1), jobs=[seeing]))(event, None)


def test_a_function_that_makes_no_service_is_told(bootstrap, event):
    with pytest.raises(ConfigurationError, match="is no JobService"):
        bootstrap(service=lambda: "service")(event, None)


@pytest.mark.parametrize("service", ["sqs://key:s3cret@eu-west-1", None, 7])
def test_what_is_no_service_is_refused_at_once(service):
    with pytest.raises(ConfigurationError, match="is no JobService") as refusal:
        bootstrap_worker(service)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"concurrency": 0}, ValueError),
        ({"threads": 0}, ValueError),
        ({"margin": 3}, ValueError),
        ({"margin": "soon"}, ValueError),
        ({"on_job_done": print}, ConfigurationError),
        ({"on_job_start": lambda one, two, three, four: None}, ConfigurationError),
    ],
    ids=["concurrency", "threads", "no unit", "no duration", "hook", "parameters"],
)
def test_a_wrong_argument_is_refused_at_once(options, error):
    with pytest.raises(error):
        bootstrap_worker(JobService("memory://"), **options)


def test_plugins_of_the_service_are_called_and_told_of_the_worker(bootstrap, event, driver, seeing):
    told = []

    class Plugin:
        @hookimpl
        def waybill_worker_start(self, worker):
            told.append(("start", worker))

        @hookimpl
        def waybill_job_start(self, job):
            told.append(("job", job.job_name))

        @hookimpl
        def waybill_worker_stop(self, worker):
            told.append(("stop", worker))

    handler = bootstrap(service=JobService(driver, jobs=[seeing], plugins=[Plugin()]))
    handler(event, None)
    handler(event, None)
    handler.close()
    handler.close()
    assert told == [("start", handler), ("job", "seeing"), ("job", "seeing"), ("stop", handler)]


def test_a_closed_handler_starts_anew(bootstrap, event, seeing):
    handler = bootstrap(seeing)
    for _ in range(2):
        assert handler(event, None) == {"batchItemFailures": []}
        handler.close()


async def test_it_can_be_called_inside_a_running_loop(bootstrap, event, seeing):
    assert bootstrap(seeing)(event, None) == {"batchItemFailures": []}


def test_it_can_be_called_from_several_threads(bootstrap, event, driver, seeing):
    made, answers = [], []
    handler = bootstrap(service=JobService(driver, jobs=[seeing], services=lambda: made.append(1)))
    threads = [threading.Thread(target=lambda: answers.append(handler(event, None))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert answers == [{"batchItemFailures": []}] * 8
    assert made == [1]


def test_handlers_see_the_context_variables_of_the_function(bootstrap, event):
    trace, seen = contextvars.ContextVar("trace"), []

    @job
    async def seeing():
        seen.append(trace.get())

    trace.set("t-1")
    bootstrap(seeing)(event, None)
    assert seen == ["t-1"]


def test_a_job_may_send_by_its_context_and_by_its_service(bootstrap, event, driver):
    service = JobService(driver)

    @job
    async def seeing(ctx):
        await ctx.enqueue("one", queue="q")
        await service.enqueue("two", queue="q")

    service.registry.add(seeing)
    bootstrap(service=service)(event, None)
    assert [each.job_name for each in driver.enqueued] == ["one", "two"]


def test_it_can_be_wrapped_as_a_function_can(bootstrap, event, seeing):
    handler = bootstrap(seeing)

    @functools.wraps(handler)
    def traced(event, context):
        return handler(event, context)

    assert traced.__name__ == "lambda_handler"
    assert traced(event, None) == {"batchItemFailures": []}

"""Resources by type: made once for a worker, or for each job that asks, and closed in their turn."""

import contextlib
import threading

import pytest

from waybill import ConfigurationError, JobService, Resources, Retry, Worker, define_job, job
from waybill.testing import run_until_idle


class Mailer:
    def __init__(self, address="smtp"):
        self.address = address


class Session:
    pass


class Missing:
    pass


@pytest.fixture
def told():
    return []


@pytest.fixture
def run_job(driver):
    async def run(handler, services, *, times=1, retry=False):
        service = JobService(driver, jobs=[define_job(name="j", handler=handler, retry=retry)], services=services)
        for _ in range(times):
            await service.enqueue("j")
        return await run_until_idle(service)

    return run


@pytest.mark.parametrize("kind", ["function", "coroutine", "manager", "async manager"])
async def test_a_workers_resource_is_made_once_and_closed_with_the_worker(run_job, told, kind):
    @contextlib.contextmanager
    def manager():
        told.append("made")
        yield Mailer()
        told.append("closed")

    @contextlib.asynccontextmanager
    async def async_manager():
        told.append("made")
        yield Mailer()
        told.append("closed")

    def function():
        told.append("made")
        return Mailer()

    async def coroutine():
        return function()

    factory = {"function": function, "coroutine": coroutine, "manager": manager, "async manager": async_manager}[kind]

    async def handler(ctx):
        told.append(ctx.resource(Mailer).address)
        assert ctx.services[Mailer] is ctx.resource(Mailer) is await ctx.async_resource(Mailer)

    await run_job(handler, {Mailer: factory}, times=2)
    assert told == ["made", "smtp", "smtp", *(["closed"] if "manager" in kind else [])]


async def test_a_jobs_resource_is_made_when_it_asks_and_closed_after_it(run_job, told):
    @contextlib.contextmanager
    def session():
        told.append("open")
        yield Session()
        told.append("close")

    async def handler(ctx):
        assert ctx.resource(Session) is ctx.resource(Session)
        told.append("run")

    await run_job(handler, Resources().add(Session, session, scope="job"), times=2)
    assert told == ["open", "run", "close"] * 2


async def test_a_job_that_does_not_ask_makes_nothing(run_job, told):
    assert await run_job(lambda: None, Resources().add(Session, lambda: told.append(1), scope="job")) == 1
    assert told == []


async def test_a_plain_handler_opens_and_closes_off_the_loop(run_job, told):
    class Manager:
        def __enter__(self):
            told.append(threading.get_ident())
            return Session()

        def __exit__(self, *error):
            told.append(threading.get_ident())

    def handler(ctx):
        assert isinstance(ctx.resource(Session), Session)

    await run_job(handler, Resources().add(Session, Manager, scope="job"))
    assert len(told) == 2
    assert threading.get_ident() not in told


async def test_what_is_made_by_awaiting_is_awaited(run_job, told):
    @contextlib.asynccontextmanager
    async def session():
        told.append("open")
        yield Session()
        told.append("close")

    async def plain():
        return Mailer()

    async def handler(ctx):
        for kind in (Session, Mailer):
            with pytest.raises(ConfigurationError, match="await ctx.async_resource"):
                ctx.resource(kind)
        assert isinstance(await ctx.async_resource(Session), Session)
        assert isinstance(await ctx.async_resource(Mailer), Mailer)
        told.append("run")

    await run_job(handler, Resources().add(Session, session, scope="job").add(Mailer, plain, scope="job"))
    assert told == ["open", "run", "close"]


async def test_a_jobs_resource_sees_how_the_job_ended_and_its_own_failure_is_the_jobs(run_job, told, driver):
    @contextlib.contextmanager
    def transaction():
        try:
            yield Session()
        except ValueError:
            told.append("rolled back")
            raise
        told.append("commit")
        raise OSError("the commit failed")

    async def fails(ctx):
        ctx.resource(Session)
        raise ValueError

    async def works(ctx):
        ctx.resource(Session)

    resources = Resources().add(Session, transaction, scope="job")
    await run_job(fails, resources, retry=Retry(max_attempts=1))
    await run_job(works, resources, retry=Retry(max_attempts=1))
    assert told == ["rolled back", "commit"]
    assert ["ValueError" in each.reason.error or "the commit failed" in each.reason.error for each in driver.dead] == [
        True, True,
    ]  # fmt: skip


async def test_a_factory_may_use_what_was_made_before(run_job, told):
    resources = Resources({Mailer: lambda: Mailer("relay")})
    resources.add(str, lambda made: made[Mailer].address)
    resources.add(Session, lambda made: told.append(made[str]) or Session(), scope="job")

    async def handler(ctx):
        ctx.resource(Session)

    await run_job(handler, resources)
    assert told == ["relay"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_factory_that_fails_does_so_when_the_worker_starts(driver, asynchronous, told):
    async def fails_later():
        raise OSError("no mail today")

    def fails():
        raise OSError("no mail today")

    @contextlib.contextmanager
    def made_before():
        try:
            yield
        finally:
            told.append("closed")

    resources = Resources().add(Session, made_before).add(Mailer, fails_later if asynchronous else fails)
    worker = Worker(JobService(driver, services=resources))
    with pytest.raises(OSError, match="no mail today"):
        await worker.start()
    assert told == ["closed"]


async def test_a_resource_that_is_not_there_is_told(run_job, told):
    async def handler(ctx):
        for ask in (lambda: ctx.resource(Missing), lambda: ctx.services[Session]):
            with pytest.raises(ConfigurationError) as refusal:
                ask()
            told.append(str(refusal.value))

    await run_job(handler, Resources().add(Mailer, Mailer).add(Session, Session, scope="job"))
    assert "no resource Missing is known here; there are: Mailer, Session" in told[0]
    assert "ctx.resource(Session)" in told[1]


async def test_a_container_of_ones_own_is_asked_by_its_get(run_job, told):
    class Container:
        def get(self, kind):
            return kind()

    async def handler(ctx):
        told.append(type(ctx.resource(Mailer)))

    await run_job(handler, lambda: Container())
    await run_job(handler, Container())
    assert told == [Mailer, Mailer]


async def test_without_services_a_resource_is_refused(run_job, told):
    async def handler(ctx):
        with pytest.raises(ConfigurationError, match="Mailer"):
            ctx.resource(Mailer)
        told.append(1)

    await run_job(handler, None)
    assert told == [1]


async def test_a_job_that_runs_in_place_has_its_resources_too(driver, told):
    @job
    async def asks(ctx) -> str:
        return ctx.resource(Mailer).address

    assert await JobService(driver, services={Mailer: Mailer}).run_now(asks) == "smtp"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mailer", Mailer), "a type"),
        ((Mailer, "smtp"), "a type"),
        ((Mailer, lambda one, two: None), "nothing"),
    ],
)
def test_a_wrong_factory_is_refused(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        Resources().add(*arguments)
    with pytest.raises(ConfigurationError, match="scope"):
        Resources().add(Mailer, Mailer, scope="request")

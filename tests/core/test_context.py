"""What a handler is told of its run, and what it can do with it."""

import logging
import threading
from datetime import UTC

import pytest

from waybill import ConfigurationError, JobService, Retry, Session, define_job
from waybill.jobs.context import Flag
from waybill.testing import run_until_idle


async def run(service, handler, payload=None, *, times=1, **sent):
    await service.enqueue(define_job(name="x", handler=handler, retry=Retry(3, backoff="1s")), payload, **sent)
    for _ in range(times):
        await run_until_idle(service)
        service.clock.advance("1s")


async def test_it_carries_the_job(service, clock):
    seen, flags = [], []

    def handler(ctx):
        seen.append(ctx)
        flags.extend([bool(ctx.shutting_down), bool(ctx.lease_lost), bool(ctx.cancelled)])

    start = clock.now()
    sent = {"queue": "emails", "job_id": "id1", "metadata": {"m": 1}, "session": Session("tag", "t0k")}
    await service.enqueue(define_job(name="x", handler=handler, retry=3), **sent)
    await run_until_idle(service, queues=["emails"])
    [ctx] = seen
    assert (ctx.job_id, ctx.job_name, ctx.queue, ctx.attempt, ctx.max_attempts) == ("id1", "x", "emails", 1, 3)
    assert (ctx.enqueued_at, ctx.enqueued_at.tzinfo) == (start, UTC)
    assert (ctx.metadata, ctx.session, ctx.parent_id) == ({"m": 1}, Session("tag", "t0k"), None)
    assert flags == [False, False, False]
    assert "t0k" not in repr(ctx)


async def test_the_attempt_counts_and_the_time_of_enqueueing_stays(service):
    seen = []

    def handler(ctx):
        seen.append((ctx.attempt, ctx.enqueued_at))
        raise ValueError

    await run(service, handler, times=3)
    assert [attempt for attempt, _ in seen] == [1, 2, 3]
    assert len({at for _, at in seen}) == 1


async def test_metadata_that_was_not_sent_is_an_empty_mapping(service):
    seen = []
    await run(service, lambda ctx: seen.append(dict(ctx.metadata)))
    assert seen == [{}]


# -- services -----------------------------------------------------------------------------------------------


async def test_a_factory_is_called_once_per_worker_and_its_scope_ends_with_it(driver):
    trace = []

    class Resources(dict):
        async def __aenter__(self):
            trace.append("open")
            return {"mailer": "m"}

        async def __aexit__(self, *exc_info):
            trace.append("close")

    service = JobService(driver, services=Resources)
    job = define_job(name="x", handler=lambda ctx: trace.append(ctx.services["mailer"]))
    await service.enqueue_batch([(job, None)] * 3)
    await run_until_idle(service)
    assert trace == ["open", "m", "m", "m", "close"]


async def test_a_plain_object_is_given_as_it_is(driver):
    services = {"mailer": object()}
    service = JobService(driver, services=services)
    assert await service.run_now(define_job(name="x", handler=lambda ctx: ctx.services)) is services


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_failing_factory_fails_the_start_with_its_own_error(driver, kind):
    def plain():
        raise LookupError("no mailer")

    async def later():
        raise LookupError("no mailer")

    service = JobService(driver, services=plain if kind == "plain" else later)
    await service.enqueue(define_job(name="x", handler=lambda: None))
    with pytest.raises(LookupError, match="no mailer"):
        await run_until_idle(service)
    assert (await service.stats("default")).ready == 1


# -- logging ------------------------------------------------------------------------------------------------


async def test_the_log_is_bound_to_the_job_and_takes_fields(service, caplog):
    caplog.set_level(logging.INFO)

    def handler(ctx):
        ctx.log.info("sent", user_id="u1")
        ctx.log.warning("sent %d of %d", 1, 2, message="field", level=3, name="n", self="s")

    await run(service, handler, job_id="id1")
    first, second = [each for each in caplog.records if each.name == "waybill.job"]
    bound = ("id1", "x", "default", 1)
    assert (first.job_id, first.job_name, first.queue, first.attempt) == bound
    assert (first.user_id, first.getMessage(), first.levelname) == ("u1", "sent user_id='u1'", "INFO")
    assert second.getMessage().startswith("sent 1 of 2 message='field'")
    assert second.fields == {"message": "field", "level": 3, "name": "n", "self": "s"}
    assert first.funcName == "handler"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "exception"])
async def test_every_level_logs_at_its_own(service, caplog, level):
    caplog.set_level(logging.DEBUG)

    def handler(ctx):
        try:
            raise LookupError
        except LookupError:
            getattr(ctx.log, level)("told")

    await run(service, handler)
    [record] = [each for each in caplog.records if each.name == "waybill.job"]
    assert record.levelname == ("ERROR" if level == "exception" else level.upper())
    assert bool(record.exc_info) == (level == "exception")


async def test_a_value_cannot_forge_a_record(service, caplog):
    caplog.set_level(logging.INFO)
    await run(service, lambda ctx: ctx.log.info("sent", user="a\nERROR forged\x1b[0m %s"))
    [record] = [each for each in caplog.records if each.name == "waybill.job"]
    assert "\n" not in record.getMessage()
    assert "\x1b" not in record.getMessage()


# -- follow-ups ---------------------------------------------------------------------------------------------

CHILD = define_job(name="child", handler=lambda ctx: PARENTS.append(ctx.parent_id))
PARENTS = []


async def from_async(ctx):
    for _ in range(2):
        await ctx.enqueue(CHILD)


def from_plain(ctx):
    for _ in range(2):
        ctx.sync.enqueue(CHILD)


@pytest.mark.parametrize("handler", [from_async, from_plain])
async def test_a_follow_up_records_its_parent(service, handler):
    PARENTS.clear()
    await run(service, handler, job_id="parent")
    assert PARENTS == ["parent", "parent"]


async def test_a_follow_up_takes_the_options_of_enqueue(service, driver):
    async def handler(ctx):
        await ctx.enqueue(CHILD, queue="other", priority=3, job_id="mine")

    await run(service, handler)
    assert (driver.enqueued[1].queue, driver.enqueued[1].message.priority, driver.enqueued[1].message.id) == (
        "other",
        3,
        "mine",
    )


async def test_the_blocking_follow_up_is_refused_where_it_would_hang(service):
    async def handler(ctx):
        ctx.sync.enqueue(CHILD)

    with pytest.raises(ConfigurationError, match=r"await ctx\.enqueue"):
        await service.run_now(define_job(name="x", handler=handler))


# -- flags --------------------------------------------------------------------------------------------------


def test_a_flag_is_false_until_set_and_wakes_who_waits():
    flag = Flag()
    assert not flag
    assert not flag.is_set()
    assert flag.wait(0) is False
    waiter = threading.Thread(target=flag.wait)
    waiter.start()
    flag.set()
    waiter.join(5)
    assert not waiter.is_alive()
    assert flag
    assert flag.wait() is True
    assert repr(flag) == "True"


async def test_plain_handlers_never_run_on_the_event_loop(service):
    threads = []
    await run(service, lambda: threads.append(threading.get_ident()))
    await service.run_now(define_job(name="y", handler=lambda: threads.append(threading.get_ident())))
    assert threading.get_ident() not in threads
    assert len(threads) == 2

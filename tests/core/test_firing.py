"""Each instant of a schedule is fired once, whoever looks, and whoever dies in the middle."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from waybill import BrokerUnavailableError, JobService, PermanentJobError, Schedule, TransientJobError, Worker, job
from waybill.running.ticking import FORGETS
from waybill.schedules.book import RAN_FOR, Book
from waybill.schedules.firing import Firing
from waybill.schedules.presence import TTL
from waybill.schedules.ticker import LOOK
from waybill.sending.recurring import send_instant
from waybill.testing import run_until_idle

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOURLY = Schedule(every="1h")
STATES = ("state_get", "state_put", "state_delete", "state_list")


class Dies(BaseException):
    """A process that is killed at this point."""


@pytest.fixture
def ran():
    return []


@pytest.fixture
def tick(ran):
    @job(name="tick")
    async def tick(ctx) -> None:
        ran.append(ctx.scheduled_for)

    return tick


@pytest.fixture
def service_of(driver, tick, wrapped):
    """A service on the one broker; *before* is awaited before each verb, as in `wrapped`."""

    def make(before=None, **claims):
        return JobService(wrapped(driver.clone(), *STATES, before=before, any_loop=True, **claims), jobs=[tick])

    return make


def hours(*numbers):
    return [T0 + timedelta(hours=each) for each in numbers]


# -- catching up ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "away", "expected"),
    [
        ("latest", "3h", [3]),
        ("latest", "3h30m", [3]),
        ("all", "3h", [1, 2, 3]),
        ("all", "3h30m", [1, 2, 3]),
        ("skip", "3h", []),
        ("skip", "3h30m", []),
    ],
)
async def test_what_was_missed_is_caught_up_as_the_schedule_says(service, tick, clock, ran, catch_up, away, expected):
    await service.dispatch(tick, schedule=Schedule(every="1h", catch_up=catch_up))
    clock.advance(away)
    await run_until_idle(service)
    assert ran == hours(*expected)
    clock.advance_to(T0 + timedelta(hours=4))
    await run_until_idle(service)
    assert ran == hours(*expected, 4)


@pytest.mark.parametrize("catch_up", ["latest", "all", "skip"])
async def test_what_falls_due_this_very_moment_is_not_missed(service, tick, clock, ran, catch_up):
    await service.dispatch(tick, schedule=Schedule(every="1h", catch_up=catch_up))
    for _ in range(3):
        clock.advance("1h")
        await run_until_idle(service)
    assert ran == hours(1, 2, 3)


@pytest.mark.parametrize(("catch_up", "expected"), [("latest", 1), ("all", 3), ("skip", 0)])
async def test_a_cron_is_caught_up_likewise(service, tick, clock, ran, catch_up, expected):
    await service.dispatch(tick, schedule=Schedule(cron="30 * * * *", catch_up=catch_up))
    clock.advance("3h")
    await run_until_idle(service)
    assert len(ran) == expected


async def test_a_catch_up_counts_what_it_fires_and_not_what_it_leaves_out(service, tick, clock, ran):
    await service.dispatch(tick, schedule=Schedule(every="1h", limit=2))
    clock.advance("10h")
    await run_until_idle(service)
    clock.advance("10h")
    await run_until_idle(service)
    assert ran == hours(10, 20)
    [entry] = await service.schedules()
    assert (entry.status, entry.runs) == ("finished", 2)


async def test_catching_up_ends_where_the_schedule_ends(service, tick, clock, ran):
    await service.dispatch(tick, schedule=Schedule(every="1h", end_at=T0 + timedelta(hours=2, minutes=30)))
    clock.advance("10h")
    await run_until_idle(service)
    assert ran == hours(2)
    [entry] = await service.schedules()
    assert (entry.status, entry.next_run_at) == ("finished", None)


async def test_what_falls_due_while_a_worker_lives_is_fired_however_late_it_is(service, tick, clock, ran, until):
    await service.dispatch(tick, schedule=Schedule(every="5s"))
    async with Worker(service, concurrency=1):
        clock.advance("20s")  # less than a sign of life holds
        await until(lambda: len(ran) == 4)
    assert ran == [T0 + timedelta(seconds=5 * each) for each in range(1, 5)]


async def test_a_worker_takes_over_the_life_of_those_who_were_there(service_of, tick, clock, ran):
    old, new = service_of(), service_of()
    await old.dispatch(tick, schedule=Schedule(every="5s"))
    async with Worker(old) as stuck:
        for ticker in stuck._tickers:
            ticker._next_look = datetime.max.replace(tzinfo=UTC)  # it lives, and comes to nothing
            ticker._newest.clear()
        clock.advance("20s")
        await run_until_idle(new)
    assert len(ran) == 4
    await old.close()


async def test_a_suspended_worker_that_wakes_catches_up(service, tick, clock, ran, until):
    await service.dispatch(tick, schedule=HOURLY)
    async with Worker(service):
        clock.advance(TTL + timedelta(hours=3))
        await until(lambda: ran)
        await asyncio.sleep(0.01)
    assert ran == hours(3)


# -- limit and end -------------------------------------------------------------------------------------


async def test_a_limit_is_exact(service, tick, clock, ran):
    await service.dispatch(tick, schedule=Schedule(every="7d", limit=4))
    for _ in range(60):
        clock.advance("1d")
        await run_until_idle(service)
    assert ran == [T0 + timedelta(days=7 * each) for each in range(1, 5)]


async def test_the_end_itself_is_the_last_instant(service, tick, clock, ran):
    await service.dispatch(tick, schedule=Schedule(every="1h", end_at=T0 + timedelta(hours=2)))
    for _ in range(4):
        clock.advance("1h")
        await run_until_idle(service)
    assert ran == hours(1, 2)


async def test_an_interval_never_drifts(service, tick, clock, ran):
    await service.dispatch(tick, schedule=HOURLY)
    for number in range(1, 6):  # each later than the one before
        clock.advance_to(T0 + timedelta(hours=number, seconds=number * 50))
        await run_until_idle(service)
    assert ran == hours(1, 2, 3, 4, 5)


# -- several workers, and deaths -----------------------------------------------------------------------


async def test_five_workers_fire_each_instant_once(service_of, tick, clock, ran, driver, until):
    services = [service_of() for _ in range(5)]
    await services[0].dispatch(tick, schedule=HOURLY)
    workers = [Worker(each) for each in services]
    for each in workers:
        await each.__aenter__()
    for number in range(1, 11):
        clock.advance("1h")
        await until(lambda number=number: len(ran) >= number)
    for each in workers:
        await each.stop()
    assert ran == hours(*range(1, 11))
    assert len(driver.enqueued) == 10
    for each in services:
        await each.close()


@pytest.mark.parametrize("moment", ["before the job is sent", "after the job is sent"])
@pytest.mark.parametrize("runs_meanwhile", [False, True])
async def test_an_instant_survives_the_death_of_who_fires_it(
    service_of, tick, clock, ran, driver, moment, runs_meanwhile
):
    """Killed between claiming an instant and writing down that it was fired."""
    sent = False

    async def die(verb, *args):
        nonlocal sent
        if verb == "enqueue":
            sent = True
            if moment == "before the job is sent":
                raise Dies
        if verb in STATES and sent:
            raise Dies

    first, second = service_of(before=die), service_of()
    result = await second.dispatch(tick, schedule=HOURLY)
    clock.advance("1h")
    with pytest.raises(Dies):
        await turn(first, clock, result.schedule_id)
    if runs_meanwhile:
        await run_until_idle(second)  # the claim of the dead holds still, and its job is run if it was sent
    clock.advance("3s")
    await run_until_idle(second)
    await run_until_idle(second)
    assert ran == hours(1)
    clock.advance("1h")
    await run_until_idle(second)
    assert ran == hours(1, 2)
    await second.close()


async def turn(service, clock, schedule_id, patience=timedelta(seconds=2)):
    """A worker's turn at a schedule, without the worker."""
    [book] = await service.books.all()
    await Firing(book, "first", clock, partial(send_instant, service), patience).turn(schedule_id, T0)


async def test_a_worker_that_wakes_in_the_middle_of_firing_makes_no_second_run(service_of, tick, clock, ran, until):
    """It has claimed, was stopped, and sends its job when all is over."""
    gate, paused = asyncio.Event(), asyncio.Event()

    async def pause(verb, *args):
        if verb == "enqueue":
            paused.set()
            await gate.wait()

    zombie, other = service_of(before=pause), service_of()
    await other.dispatch(tick, schedule=HOURLY)
    async with Worker(zombie, ["elsewhere"]):
        clock.advance("1h")
        await until(paused.is_set)
        clock.advance("3s")
        assert await run_until_idle(other) == 1
        gate.set()
        await asyncio.sleep(0.01)
    await run_until_idle(other)
    assert ran == hours(1)
    await other.close()


async def test_that_an_instant_was_run_is_forgotten_after_a_while(service, tick, clock, driver):
    await service.dispatch(tick, schedule=Schedule(every="1h", limit=1))
    clock.advance("1h")
    await run_until_idle(service)
    book = Book(driver, None)
    assert await book.has_run(driver.enqueued[0].message.id)
    clock.advance(RAN_FOR)
    assert not await book.has_run(driver.enqueued[0].message.id)


async def test_a_run_that_failed_runs_again_under_the_same_id(service, clock):
    seen = []

    @job(name="flaky")
    async def flaky(ctx) -> None:
        seen.append((ctx.job_id, ctx.attempt))
        if ctx.attempt < 3:
            raise TransientJobError("once more", retry_after="1m")

    await service.dispatch(flaky, schedule=Schedule(every="1h"), schedule_id="s")
    clock.advance("1h")
    for _ in range(3):
        await run_until_idle(service)
        clock.advance("1m")
    assert seen == [("s@2026-01-01T01:00:00.000000Z", attempt) for attempt in (1, 2, 3)]


async def test_a_dead_letter_of_a_schedule_can_be_sent_back_and_runs(service, clock):
    runs = []

    @job(name="broken")
    async def broken() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise PermanentJobError("mended by hand")

    await service.dispatch(broken, schedule=Schedule(every="1h"))
    clock.advance("1h")
    await run_until_idle(service)
    assert await service.retry_dead("default") == 1
    await run_until_idle(service)
    assert len(runs) == 2


# -- changes reach workers that run --------------------------------------------------------------------


async def test_a_schedule_of_another_process_is_seen_within_a_second(service_of, tick, clock, ran, until):
    here, there = service_of(), service_of()
    async with Worker(here):
        await there.dispatch(tick, schedule=Schedule(every="10s"), schedule_id="s")
        clock.advance(LOOK)
        await asyncio.sleep(0.01)
        clock.advance("9s")
        await until(lambda: len(ran) == 1)
        await there.dispatch(tick, schedule=Schedule(every="2s"), schedule_id="s")  # sooner than before
        clock.advance(LOOK)
        await asyncio.sleep(0.01)
        clock.advance("1s")
        await until(lambda: len(ran) == 2)
        await there.cancel_schedule("s")
        clock.advance("20s")
        await asyncio.sleep(0.01)
    assert len(ran) == 2
    await there.close()


async def test_a_schedule_of_the_same_service_is_seen_at_once(service, tick, clock, ran, until):
    async with Worker(service) as worker:
        await service.dispatch(tick, schedule=Schedule(every="200ms"))
        [ticker] = worker._tickers
        await until(lambda: ticker._due)
        clock.advance("200ms")  # far less than it takes to look anew
        await until(lambda: len(ran) == 1)


async def test_namespaces_do_not_see_each_others_schedules(driver, tick, clock, ran):
    one, other = (JobService(driver, jobs=[tick], namespace=each) for each in ("one", "other"))
    await one.dispatch(tick, schedule=HOURLY, schedule_id="s")
    await other.dispatch(tick, schedule=HOURLY, schedule_id="s")
    assert len(await one.schedules()) == len(await other.schedules()) == 1
    assert await other.cancel_schedule("s")
    clock.advance("1h")
    assert await run_until_idle(other) == 0
    assert await run_until_idle(one) == 1


async def test_a_worker_may_leave_the_schedules_to_others(service, tick, clock, ran):
    await service.dispatch(tick, schedule=HOURLY)
    clock.advance("1h")
    assert await run_until_idle(service, schedules=False) == 0
    assert await run_until_idle(service) == 1


async def test_a_schedule_is_fired_by_workers_of_other_queues_and_for_jobs_they_do_not_know(driver, tick, clock):
    service = JobService(driver)
    await service.dispatch("unknown", {"a": 1}, queue="elsewhere", schedule=HOURLY)
    clock.advance("1h")
    assert await run_until_idle(service, queues=["other"]) == 0
    assert [(each.job_name, each.queue) for each in driver.enqueued] == [("unknown", "elsewhere")]


# -- while the broker is away --------------------------------------------------------------------------


async def test_what_falls_due_while_the_broker_is_away_is_fired_when_it_is_back(
    service_of, tick, clock, ran, until, caplog
):
    away = False

    async def refuse(verb, *args):
        if away and verb not in {"close", "receive"}:
            raise BrokerUnavailableError("away")

    service = service_of(before=refuse)
    await service.dispatch(tick, schedule=Schedule(every="10s", catch_up="all"))
    with caplog.at_level(logging.INFO, "waybill.schedules"):
        async with Worker(service):
            away = True
            clock.advance("10s")
            await until(lambda: "cannot be read" in caplog.text)
            away = False
            clock.advance("10s")
            await until(lambda: len(ran) == 2)
    assert "can be read again" in caplog.text
    assert ran == [T0 + timedelta(seconds=10), T0 + timedelta(seconds=20)]


async def test_a_job_that_cannot_be_sent_is_sent_later_under_the_same_instant(service, tick, clock, ran, driver, until):
    await service.dispatch(tick, schedule=HOURLY)
    async with Worker(service):
        driver.fail_next(BrokerUnavailableError("down"))
        clock.advance("1h")
        await asyncio.sleep(0.01)
        assert ran == []
        clock.advance("5s")
        await until(lambda: ran)
    assert ran == hours(1)


async def test_a_broker_that_forgets_ids_is_given_more_time_before_another_worker_tries(
    service_of, tick, clock, driver
):
    async def fail(verb, *args):
        if verb == "enqueue":
            raise Dies

    async def untouched(verb, *args): ...

    dying, living = service_of(before=fail, idempotent_enqueue=None), service_of(untouched, idempotent_enqueue=None)
    result = await living.dispatch(tick, schedule=HOURLY)
    clock.advance("1h")
    with pytest.raises(Dies):
        await turn(dying, clock, result.schedule_id, FORGETS)
    clock.advance(FORGETS - timedelta(seconds=1))
    await run_until_idle(living)
    assert driver.enqueued == []
    clock.advance("1s")
    await run_until_idle(living)
    assert len(driver.enqueued) == 1
    await living.close()


async def test_thousands_of_schedules_are_read_and_fired_in_their_order(service, tick, clock, ran):
    for number in range(2_000):
        await service.dispatch(tick, schedule=Schedule(every="1h", start_at=T0 + timedelta(seconds=number)))
    clock.advance("30m")
    await run_until_idle(service)
    assert len(ran) == 1801
    assert ran == sorted(ran)


async def test_a_schedule_that_cannot_be_read_holds_up_no_other(service, driver, tick, clock, ran, caplog):
    await service.dispatch(tick, schedule=HOURLY, schedule_id="good")
    await driver.state_put("schedules/-/entry/later", b'{"v":2,"id":"later"}', expect=None)
    await driver.state_put("schedules/-/entry/text", b"no record", expect=None)
    clock.advance("1h")
    with caplog.at_level(logging.WARNING, "waybill.schedules"):
        await run_until_idle(service)
    assert ran == hours(1)
    assert "'later' cannot be read" in caplog.text
    assert [each.schedule_id for each in await service.schedules()] == ["good"]


async def test_a_schedule_whose_zone_is_not_known_here_waits_and_holds_up_no_other(service, driver, tick, clock, ran):
    await service.dispatch(tick, schedule=HOURLY, schedule_id="good")
    await service.dispatch(tick, schedule=Schedule(cron="0 * * * *", tz="Europe/Berlin"), schedule_id="odd")
    stored = await driver.state_get("schedules/-/entry/odd")
    elsewhere = stored.value.replace(b"Europe/Berlin", b"Mars/Olympus")
    await driver.state_put("schedules/-/entry/odd", elsewhere, expect=stored.version)
    clock.advance("1h")
    await run_until_idle(service)
    assert ran == hours(1)
    assert [each.schedule_id for each in await service.schedules()] == ["good"]


async def test_a_late_run_of_a_replaced_schedule_takes_nothing_from_the_new_one(service, clock):
    seen = []

    @job(name="slow")
    async def slow(payload: str, ctx) -> None:
        seen.append((payload, ctx.scheduled_for))
        if payload == "old":  # replaced while it runs
            await service.dispatch(slow, "new", schedule=Schedule(every="30m"), schedule_id="s")
            clock.advance("30m")

    await service.dispatch(slow, "old", schedule=HOURLY, schedule_id="s")
    clock.advance("1h")
    await run_until_idle(service)
    await run_until_idle(service)
    assert seen == [("old", T0 + timedelta(hours=1)), ("new", T0 + timedelta(hours=1, minutes=30))]

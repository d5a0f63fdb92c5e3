"""What a schedule says, what dispatching on one returns, and what is refused."""

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from waybill import (
    BrokerUnavailableError,
    ConfigurationError,
    EnqueueError,
    EnqueueValueError,
    InvalidJobPayloadError,
    InvalidScheduleError,
    Job,
    JobService,
    Schedule,
    Session,
    Unique,
    UnsupportedError,
    define_periodic_job,
    job,
)
from waybill.testing import MemoryDriver, VirtualClock, run_until_idle, use_driver

T0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def ran():
    return []


@pytest.fixture
def note(ran):
    @job(name="note")
    async def note(payload: str | None = None) -> None:
        ran.append(payload)

    return note


# -- the value -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"cron": "0 9 * * *", "every": "1h"}, "not both"),
        ({}, "never says when"),
        ({"limit": 3}, "never says when"),
        ({"cron": "0 0 30 2 *"}, "no such day"),
        ({"cron": "0 9 * * *", "tz": "Mars/Olympus"}, "IANA"),
        ({"cron": "0 9 * * *", "tz": "../etc/passwd"}, "IANA"),
        ({"cron": "0 9 * * *", "tz": "America"}, "IANA"),
        ({"every": "1h", "tz": 5}, "IANA"),
        ({"every": "1h", "start_at": T0, "end_at": T0 - timedelta(seconds=1)}, "before start_at"),
        ({"every": "1h", "limit": 0}, "1 or more"),
        ({"every": "1h", "limit": -1}, "1 or more"),
        ({"every": "1h", "limit": True}, "1 or more"),
        ({"every": "1h", "limit": "4"}, "1 or more"),
        ({"start_at": datetime(2026, 1, 1)}, "tzinfo=UTC"),
        ({"every": "1h", "end_at": datetime(2026, 1, 1)}, "tzinfo=UTC"),
        ({"start_at": 1_767_225_600_000}, "from_epoch_ms"),
        ({"start_at": "tomorrow"}, "ISO 8601"),
        ({"every": 86_400_000}, "no unit"),
        ({"every": "10x"}, "no duration"),
        ({"every": "0s"}, "shorter"),
        ({"every": timedelta(seconds=-1)}, "negative"),
        ({"every": "1h", "catch_up": "some"}, "skip"),
    ],
)
def test_a_schedule_that_does_not_fit_together_is_refused_with_the_cure(parts, said):
    with pytest.raises(InvalidScheduleError, match=said) as refusal:
        Schedule(**parts)
    assert isinstance(refusal.value, ConfigurationError)
    assert isinstance(refusal.value, ValueError)


def test_an_unknown_part_of_a_schedule_is_refused():
    with pytest.raises(TypeError):
        Schedule(cron="0 9 * * *", timezone="UTC")


def test_a_schedule_is_a_value_in_whatever_form_it_is_written():
    one = Schedule(every="24h", start_at="2026-01-01T01:00:00+01:00", end_at="2026-12-31T23:59:59Z")
    other = Schedule(every=timedelta(days=1), start_at=T0, end_at=datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert one == other
    assert hash(one) == hash(other)
    assert Schedule(cron="0  9 * * *", tz=ZoneInfo("Europe/Berlin")) == Schedule(cron="0 9 * * *", tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule(cron="0 9 * * *"), "cron 0 9 * * * UTC"),
        (Schedule(every="1h", limit=4, start_at=T0), "every 1:00:00, from 2026-01-01T00:00:00+00:00, 4 times"),
        (Schedule(start_at=T0), "once, from 2026-01-01T00:00:00+00:00"),
    ],
)
def test_a_schedule_says_itself_in_a_few_words(schedule, said):
    assert str(schedule) == said


# -- dispatching ---------------------------------------------------------------------------------------


async def test_without_a_schedule_a_dispatch_is_now(service, note):
    result = await service.dispatch(note, "now")
    assert (result.status, result.recurring, result.next_run_at, result.schedule_id) == ("queued", False, None, None)


async def test_a_start_that_is_now_is_now(service, note, clock, ran):
    result = await service.dispatch(note, "now", schedule=Schedule(start_at=clock.now()))
    assert (result.status, result.recurring) == ("queued", False)
    assert await run_until_idle(service) == 1


async def test_a_start_alone_is_a_single_delayed_job(service, driver, note, clock, ran):
    result = await service.dispatch(note, "later", schedule=Schedule(start_at=T0 + timedelta(hours=1)))
    assert (result.status, result.scheduled_at) == ("scheduled", T0 + timedelta(hours=1))
    assert (result.recurring, result.next_run_at) == (False, None)
    assert driver.enqueued[0].at == result.scheduled_at
    clock.advance("59m59s")
    assert await run_until_idle(service) == 0
    clock.advance("1s")
    assert await run_until_idle(service) == 1


async def test_an_identical_single_run_is_sent_once(service, driver, note):
    schedule = Schedule(start_at=T0 + timedelta(hours=1))
    one = await service.dispatch(note, "later", schedule=schedule)
    other = await service.dispatch(note, "later", schedule=schedule)
    another = await service.dispatch(note, "else", schedule=schedule)
    assert one.job_id == other.job_id != another.job_id
    assert len(driver.enqueued) == 2


async def test_a_recurrence_says_when_it_runs_first(service, note, clock):
    result = await service.dispatch(note, "x", schedule=Schedule(every=timedelta(days=1)), schedule_id="daily")
    first = T0 + timedelta(days=1)
    assert (result.status, result.recurring, result.next_run_at, result.scheduled_at) == (
        "scheduled",
        True,
        first,
        first,
    )
    assert (result.schedule_id, result.job_id) == ("daily", "daily@2026-01-02T00:00:00.000000Z")
    assert bool(result)


async def test_the_first_job_has_the_id_that_was_told(service, note, clock, driver):
    result = await service.dispatch(note, "x", schedule=Schedule(cron="30 0 * * *"))
    clock.advance("30m")
    await run_until_idle(service)
    assert [each.message.id for each in driver.enqueued] == [result.job_id]


@pytest.mark.parametrize(
    ("schedule", "first"),
    [
        (Schedule(every="1h"), "01:00"),
        (Schedule(every="1h", start_at=T0), "00:00"),
        (Schedule(every="1h", start_at=T0 + timedelta(minutes=5)), "00:05"),
        (Schedule(every="1h", start_at=T0 - timedelta(minutes=90)), "00:30"),
        (Schedule(every="1h", start_at=T0 - timedelta(minutes=120)), "00:00"),
        (Schedule(cron="0 * * * *"), "01:00"),
        (Schedule(cron="0 * * * *", start_at=T0 + timedelta(hours=2)), "02:00"),
        (Schedule(cron="0 * * * *", start_at=T0 + timedelta(hours=2, seconds=1)), "03:00"),
        (Schedule(cron="0 * * * *", start_at=T0 - timedelta(days=2)), "01:00"),
    ],
)
async def test_where_a_recurrence_begins(service, note, schedule, first):
    result = await service.dispatch(note, "x", schedule=schedule)
    assert result.next_run_at.strftime("%H:%M") == first


async def test_an_identical_dispatch_is_the_same_schedule_and_goes_on_counting(service, note, clock):
    schedule = Schedule(every="1h", limit=3)
    one = await service.dispatch(note, "x", schedule=schedule)
    clock.advance("1h")
    await run_until_idle(service)
    other = await service.dispatch(note, "x", schedule=schedule)
    assert other.schedule_id == one.schedule_id
    assert other.next_run_at == one.next_run_at + timedelta(hours=1)
    [entry] = await service.schedules()
    assert entry.runs == 1


async def test_another_payload_queue_job_or_rule_is_another_schedule(service, note):
    told = [
        await service.dispatch(note, "x", schedule=Schedule(every="1h")),
        await service.dispatch(note, "y", schedule=Schedule(every="1h")),
        await service.dispatch(note, "x", schedule=Schedule(every="1h"), queue="other"),
        await service.dispatch("other", "x", schedule=Schedule(every="1h"), queue="default"),
        await service.dispatch(note, "x", schedule=Schedule(every="2h")),
    ]
    assert len({each.schedule_id for each in told}) == len(told) == len(await service.schedules())


async def test_the_same_id_with_another_rule_begins_anew(service, note, clock):
    await service.dispatch(note, "x", schedule=Schedule(every="1h"), schedule_id="s")
    clock.advance("1h")
    await run_until_idle(service)
    result = await service.dispatch(note, "x", schedule=Schedule(every="2h"), schedule_id="s")
    [entry] = await service.schedules()
    assert (entry.runs, entry.next_run_at) == (0, clock.now() + timedelta(hours=2))
    assert result.next_run_at == entry.next_run_at


async def test_the_same_id_with_another_payload_goes_on_in_the_old_ones_time(service, note, clock, ran):
    await service.dispatch(note, "old", schedule=Schedule(every="1h"), schedule_id="s")
    clock.advance("30m")
    await service.dispatch(note, "new", schedule=Schedule(every="1h"), schedule_id="s")
    clock.advance("30m")
    await run_until_idle(service)
    assert ran == ["new"]


async def test_a_finished_schedule_stays_finished_until_it_is_cancelled(service, note, clock, ran):
    schedule = Schedule(every="1h", limit=1)
    first = await service.dispatch(note, "x", schedule=schedule)
    clock.advance("1h")
    await run_until_idle(service)
    again = await service.dispatch(note, "x", schedule=schedule)
    assert (again.status, again.next_run_at, again.job_id) == ("duplicate", None, first.job_id)
    [entry] = await service.schedules()
    assert (entry.status, entry.runs, entry.next_run_at) == ("finished", 1, None)
    assert await service.cancel_schedule(first.schedule_id) is False
    assert (await service.dispatch(note, "x", schedule=schedule)).status == "scheduled"


async def test_a_cancelled_schedule_never_fires_again(service, note, clock, ran):
    result = await service.dispatch(note, "x", schedule=Schedule(every="1h"))
    assert await service.cancel_schedule(result.schedule_id) is True
    assert await service.cancel_schedule(result.schedule_id) is False
    clock.advance("3h")
    assert await run_until_idle(service) == 0
    assert await service.schedules() == []


async def test_schedules_are_listed_the_next_to_run_first(service, note):
    await service.dispatch(note, "b", schedule=Schedule(every="2h"), schedule_id="b", metadata={"a": 1})
    await service.dispatch(note, "a", schedule=Schedule(every="1h"), schedule_id="a", session=Session("t", "S3CR3T"))
    listed = await service.schedules()
    assert [each.schedule_id for each in listed] == ["a", "b"]
    assert (listed[1].payload, listed[1].metadata, listed[1].job_name) == ("b", {"a": 1}, "note")
    assert "S3CR3T" not in repr(listed)


async def test_what_a_message_carries_travels_with_each_firing(service, clock):
    seen = []

    @job(name="see", priority=3)
    async def see(payload: int, ctx) -> None:
        seen.append((payload, ctx.metadata, ctx.session, ctx.max_attempts, ctx.schedule_id, ctx.scheduled_for))

    session = Session("user", "S3CR3T")
    await service.dispatch(
        see,
        7,
        schedule=Schedule(every="1h"),
        schedule_id="s",
        metadata={"a": 1},
        session=session,
        retries=4,
        priority=9,
    )
    clock.advance("1h")
    await run_until_idle(service)
    assert seen == [(7, {"a": 1}, session, 5, "s", T0 + timedelta(hours=1))]
    assert [each.message.priority for each in service.driver.enqueued] == [9]


async def test_a_job_dispatches_itself_on_a_schedule(service, note, clock, ran):
    with service.as_current():
        await note.dispatch("x", schedule=Schedule(every="1h"), schedule_id="s")
        with pytest.raises(EnqueueError, match="not both"):
            await note.dispatch("x", delay="1m", schedule=Schedule(every="1h"))
    clock.advance("1h")
    await run_until_idle(service)
    assert ran == ["x"]


async def test_blocking_code_dispatches_lists_and_cancels(note):
    service = JobService(MemoryDriver(clock=VirtualClock()), jobs=[note])

    def blocking():
        with service.sync as sync:
            result = sync.dispatch(note, "x", schedule=Schedule(every="1h"))
            assert [each.schedule_id for each in sync.schedules()] == [result.schedule_id]
            return sync.cancel_schedule(result.schedule_id)

    assert await asyncio.to_thread(blocking)
    await service.close()


# -- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schedule": "0 9 * * *"}, "Schedule"),
        ({"schedule": {"cron": "0 9 * * *"}}, "Schedule"),
        ({"schedule_id": "s"}, "give schedule="),
        ({"schedule": Schedule(every="1h"), "schedule_id": ""}, "1 to 200"),
        ({"schedule": Schedule(every="1h"), "schedule_id": "x" * 201}, "1 to 200"),
        ({"schedule": Schedule(every="1h"), "job_id": "mine"}, "schedule_id="),
        ({"schedule": Schedule(every="1h", end_at=T0 + timedelta(minutes=59))}, "no run left"),
        ({"schedule": Schedule(cron="0 0 * * *", end_at=T0)}, "no run left"),
    ],
)
async def test_a_dispatch_that_cannot_be_kept_is_refused_and_nothing_is_stored(service, note, options, said):
    with pytest.raises(EnqueueValueError, match=said):
        await service.dispatch(note, "x", **options)
    assert await service.schedules() == []


async def test_a_payload_is_checked_when_the_schedule_is_made(service):
    @job(name="typed")
    async def typed(payload: int) -> None: ...

    with pytest.raises(InvalidJobPayloadError):
        await service.dispatch(typed, "no number", schedule=Schedule(every="1h"))


async def test_a_broker_without_a_place_for_schedules_refuses_them_with_the_cure(driver, wrapped, note):
    service = JobService(wrapped(driver), jobs=[note])
    for call in (
        lambda: service.dispatch(note, "x", schedule=Schedule(every="1h")),
        service.schedules,
        lambda: service.cancel_schedule("s"),
    ):
        with pytest.raises(UnsupportedError, match="schedules="):
            await call()
    once = await service.dispatch(note, "x", schedule=Schedule(start_at=T0 + timedelta(hours=1)))
    assert once.status == "scheduled"  # a single run needs no place
    await service.close()


async def test_check_refuses_a_declared_schedule_without_a_place(driver, wrapped):
    periodic = define_periodic_job(name="p", handler=lambda: None, schedule=Schedule(every="1h"))
    with pytest.raises(UnsupportedError, match="p: schedule=.*schedules="):
        await JobService(wrapped(driver, any_loop=True), jobs=[periodic]).check()
    await JobService(driver, jobs=[periodic]).check()


async def test_a_store_of_its_own_keeps_the_schedules_of_a_broker_that_cannot(clock, driver, wrapped, note, ran):
    store = MemoryDriver(clock=clock)
    async with JobService(wrapped(driver, any_loop=True), jobs=[note], schedules=store) as service:
        await service.check()
        await service.dispatch(note, "x", schedule=Schedule(every="1h"))
        clock.advance("1h")
        await run_until_idle(service)
        assert ran == ["x"]
        assert len(await service.schedules()) == 1
        assert [each.job_name for each in driver.enqueued] == ["note"]
        assert store.enqueued == []


async def test_a_store_that_is_down_is_a_typed_error(driver, wrapped, note):
    async def down(verb, *args):
        if verb.startswith("state"):
            raise BrokerUnavailableError("down")

    states = ("state_get", "state_put", "state_delete", "state_list")
    async with JobService(wrapped(driver, *states, before=down), jobs=[note]) as service:
        with pytest.raises(EnqueueError, match="down"):
            await service.dispatch(note, "x", schedule=Schedule(every="1h"))
        with pytest.raises(BrokerUnavailableError):
            await service.schedules()


async def test_a_delay_longer_than_the_broker_keeps_becomes_a_schedule(clock, driver, wrapped, note, ran):
    states = ("state_get", "state_put", "state_delete", "state_list")
    brief = wrapped(driver, *states, any_loop=True, max_delay=timedelta(minutes=15))
    async with JobService(brief, jobs=[note]) as service:
        result = await service.dispatch(note, "x", schedule=Schedule(start_at=T0 + timedelta(hours=1)))
        assert (result.status, result.recurring) == ("scheduled", False)
        clock.advance("1h")
        await run_until_idle(service)
        assert ran == ["x"]


async def test_a_job_that_asks_more_than_the_broker_keeps_is_refused_when_the_schedule_is_made(driver, wrapped):
    @job(name="grouped", group="g")
    async def grouped() -> None: ...

    states = ("state_get", "state_put", "state_delete", "state_list")
    async with JobService(wrapped(driver, *states, ordering="none"), jobs=[grouped]) as service:
        with pytest.raises(EnqueueError, match="order"):
            await service.dispatch(grouped, schedule=Schedule(every="1h"))


# -- declared by a job ---------------------------------------------------------------------------------


def test_a_periodic_job_takes_no_schema():
    with pytest.raises(ConfigurationError, match="schema"):
        define_periodic_job(name="p", handler=lambda: None, schema=int)


def test_a_periodic_job_keeps_name_queue_and_handler_and_has_no_schema():
    def handler(): ...

    periodic = define_periodic_job(name="p", handler=handler, queue="reports")
    assert (periodic.name, periodic.options.queue, periodic.handler.function, periodic.schema) == (
        "p", "reports", handler, None,
    )  # fmt: skip


def test_a_job_that_needs_a_payload_cannot_declare_a_schedule():
    with pytest.raises(ConfigurationError, match="without a payload"):

        @job(schedule=Schedule(every="1h"))
        async def needy(payload: int) -> None: ...

    with pytest.raises(ConfigurationError, match="without a payload"):

        class Needy(Job[int]):
            schedule = Schedule(every="1h")

            async def handle(self, payload: int) -> None: ...

    with pytest.raises(TypeError, match="schedule is Schedule"):
        define_periodic_job(name="p", handler=lambda: None, schedule="0 9 * * *")


async def test_a_class_may_declare_its_schedule(driver, clock, ran):
    class Nightly(Job[None]):
        schedule = Schedule(cron="0 3 * * *")

        async def handle(self) -> None:
            ran.append(self.name)

    service = JobService(driver, jobs=[Nightly])
    clock.advance("3h")
    await run_until_idle(service)
    assert ran == ["Nightly"]


async def test_a_declared_schedule_counts_from_when_the_service_was_made(driver, clock, ran):
    service = JobService(
        driver, jobs=[define_periodic_job(name="p", handler=lambda: ran.append(1), schedule=Schedule(every="1h"))]
    )
    clock.advance("1h")
    assert await run_until_idle(service) == 1
    [entry] = await service.schedules()
    assert (entry.schedule_id, entry.declared) == ("p", True)


async def test_a_periodic_job_without_a_schedule_is_sent_from_outside(service, ran):
    service.registry.add(define_periodic_job(name="p", handler=lambda payload: ran.append(payload)))
    await service.enqueue("p", {"any": "thing"})
    await service.enqueue("p")
    await run_until_idle(service)
    assert await service.schedules() == []
    assert ran == [{"any": "thing"}, None]


async def test_what_is_no_longer_declared_is_fired_by_nobody(driver, clock, ran):
    old = define_periodic_job(name="p", handler=lambda: ran.append("old"), schedule=Schedule(every="1h"))
    await run_until_idle(JobService(driver, jobs=[old]))
    clock.advance("5h")
    bare = define_periodic_job(name="p", handler=lambda: ran.append("bare"))
    assert await run_until_idle(JobService(driver, jobs=[bare])) == 0
    assert await run_until_idle(JobService(driver)) == 0


async def test_a_new_rule_in_the_code_takes_the_old_ones_place(driver, clock, ran):
    def declared(schedule):
        return JobService(
            driver, jobs=[define_periodic_job(name="p", handler=lambda: ran.append(1), schedule=schedule)]
        )

    await run_until_idle(declared(Schedule(every="1h")))
    service = declared(Schedule(every="2h"))
    clock.advance("1h")
    assert await run_until_idle(service) == 0
    clock.advance("1h")
    assert await run_until_idle(service) == 1
    assert len(await service.schedules()) == 1


async def test_a_tests_driver_takes_the_schedules_too(note, clock, ran, tmp_path):
    service = JobService("memory://", jobs=[note], schedules=f"sqlite:///{tmp_path}/never.db")
    with use_driver(service, MemoryDriver(clock=clock)):
        await service.dispatch(note, "x", schedule=Schedule(every="1h"))
        clock.advance("1h")
        assert await run_until_idle(service) == 1
        await service.close()
    assert list(tmp_path.iterdir()) == []


async def test_the_unique_key_of_a_scheduled_job_is_kept_by_each_firing(driver, clock, ran):
    @job(name="u", unique=Unique(key=lambda _: "k"))
    async def only_one(payload: str) -> None:
        ran.append(payload)

    service = JobService(driver, jobs=[only_one])
    await service.dispatch(only_one, "tick", schedule=Schedule(every="1h"))
    await service.enqueue_in(only_one, "by hand", "90m")  # holds the key over the first instant
    clock.advance("1h")
    assert await run_until_idle(service) == 0
    clock.advance("1h")
    await run_until_idle(service)
    clock.advance("1h")
    await run_until_idle(service)
    assert ran == ["by hand", "tick"]
    [entry] = await service.schedules()
    assert entry.runs == 1

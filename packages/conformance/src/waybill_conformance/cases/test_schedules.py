"""Schedules over this broker: each instant is fired once, whoever looks, and whoever dies meanwhile.

The services of these cases have a virtual clock of their own, so that hours pass at once on every broker. A driver that
keeps no state is given a store, as its users would give it one.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from waybill import Job, JobContext, JobService, Schedule, Worker, define_job
from waybill.driver import KeepsState
from waybill.errors import UnsupportedError
from waybill.schedules.firing import Firing
from waybill.schedules.record import Record
from waybill.schedules.schedule import CatchUp
from waybill.sending.recurring import send_instant
from waybill.testing import MemoryDriver, VirtualClock
from waybill.timing import ZERO

from ..bench import TICK, Bench
from ..case import proves, refuses

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOURLY = Schedule(every="1h")
PATIENCE = timedelta(seconds=2)
BREATH = 0.02
"""Seconds in which a worker notices that the virtual time has gone on."""


class KilledError(BaseException):
    """What a process that is killed does here: nothing more."""


class Stage:
    """Services on one broker, one store and one virtual clock, and what their workers ran."""

    def __init__(self, bench: Bench, store: MemoryDriver | None) -> None:
        self.bench, self.store = bench, store
        self.clock = VirtualClock(T0)
        self.queue = bench.queue()
        self.ran: list[datetime] = []
        self.job: Job[None, None] = define_job(name="tick", handler=self._tick, queue=self.queue)

    async def _tick(self, ctx: JobContext) -> None:
        assert ctx.scheduled_for is not None
        self.ran.append(ctx.scheduled_for)

    @contextlib.asynccontextmanager
    async def service(self, driver: Any = None) -> AsyncIterator[JobService]:
        """One more, on a driver of its own."""
        store = None if self.store is None else self.store.clone()
        made = JobService(
            driver or await self.bench.open(), jobs=[self.job], clock=self.clock, schedules=store, namespace=self.space
        )
        async with made:
            yield made

    @property
    def space(self) -> str:
        """Nobody else's: the schedules of other cases are in the same store."""
        return f"ns-{self.queue}"

    async def work(self, service: JobService) -> None:
        """Let a worker do what is due; brokers that hand over late get a moment."""
        before = len(self.ran)
        await Worker(service).run_until_idle()
        end = self.bench.timer(self.bench.soon / 10)
        while len(self.ran) == before and not self.bench.virtual and end.left() > ZERO:
            await self.bench.pass_time(TICK)
            await Worker(service).run_until_idle()

    async def until(self, count: int) -> None:
        """Let workers that run come so far; in real time, as their drivers' threads and brokers work in it."""
        end = time.monotonic() + self.bench.soon.total_seconds()
        while len(self.ran) < count:
            assert time.monotonic() < end, f"only {len(self.ran)} of {count} instants were run"
            await self.bench.pass_time(TICK if not self.bench.virtual else ZERO)
            await asyncio.sleep(BREATH)

    def firing(
        self, book: Any, send: Callable[[Record, datetime], Awaitable[object]], worker: str = "a-worker"
    ) -> Firing:
        """A worker's part in firing, without the worker."""
        return Firing(book, worker, self.clock, send, PATIENCE)

    def instants(self, *hours: int) -> list[datetime]:
        return [T0 + timedelta(hours=each) for each in hours]


@contextlib.asynccontextmanager
async def staged(bench: Bench) -> AsyncIterator[tuple[Stage, JobService]]:
    """A stage, and a service on the case's own driver."""
    stage = Stage(bench, None if isinstance(bench.driver, KeepsState) else MemoryDriver())
    async with stage.service(bench.driver) as service:
        try:
            yield stage, service
        finally:
            for each in await service.schedules():
                await service.cancel_schedule(each.schedule_id)
            if not bench.virtual:
                await Worker(service, schedules=False).run_until_idle()


@proves("worker")
async def test_a_recurrence_runs_at_each_of_its_instants(bench: Bench) -> None:
    async with staged(bench) as (stage, service):
        result = await service.dispatch(stage.job, schedule=HOURLY)
        stage.clock.advance("59m59s")
        await Worker(service).run_until_idle()
        assert stage.ran == [], "it ran before its time"
        for hour in range(1, 5):
            stage.clock.advance_to(T0 + timedelta(hours=hour))
            await stage.work(service)
        [entry] = await service.schedules()
    assert stage.ran == stage.instants(1, 2, 3, 4)
    assert (entry.runs, entry.next_run_at) == (4, T0 + timedelta(hours=5))
    assert result.next_run_at == T0 + timedelta(hours=1)


@proves("worker")
async def test_two_workers_fire_each_instant_once(bench: Bench) -> None:
    async with staged(bench) as (stage, service), stage.service() as other:
        await service.dispatch(stage.job, schedule=HOURLY)
        async with Worker(service), Worker(other):
            for hour in range(1, 6):
                stage.clock.advance_to(T0 + timedelta(hours=hour))
                await stage.until(hour)
        await Worker(service).run_until_idle()
    assert stage.ran == stage.instants(1, 2, 3, 4, 5)


@proves("worker")
async def test_who_comes_late_to_an_instant_finds_it_taken(bench: Bench) -> None:
    async with staged(bench) as (stage, service):
        result = await service.dispatch(stage.job, schedule=HOURLY)
        [book] = await service.books.all()
        stage.clock.advance("1h")
        send = partial(send_instant, service)
        gate, at_the_gate = asyncio.Event(), asyncio.Event()
        write = book.put

        async def write_later(record: Record, expect: int | None) -> bool:
            at_the_gate.set()
            await gate.wait()
            return await write(record, expect)

        late = stage.firing(book, send)
        book.put = write_later  # type: ignore[method-assign]
        turn = asyncio.create_task(late.turn(result.schedule_id or "", T0))
        await at_the_gate.wait()
        del book.put
        await stage.firing(book, send).turn(result.schedule_id or "", T0)
        [delivery] = await bench.drain(service.rules.address(stage.queue), 1)
        await bench.driver.ack(delivery)
        gate.set()
        await turn
        await bench.nothing(service.rules.address(stage.queue), during=TICK)
    assert delivery.message.id == result.job_id


@proves("worker")
async def test_an_instant_is_fired_although_its_worker_dies_before_it_sends(bench: Bench) -> None:
    async with staged(bench) as (stage, service):
        result = await service.dispatch(stage.job, schedule=HOURLY)
        [book] = await service.books.all()

        async def die(record: Record, instant: datetime) -> None:
            raise KilledError

        stage.clock.advance("1h")
        with pytest.raises(KilledError):
            await stage.firing(book, die).turn(result.schedule_id or "", T0)
        stage.clock.advance(PATIENCE)
        another = stage.firing(book, partial(send_instant, service), worker="another-worker")
        assert await another.turn(result.schedule_id or "", T0) == T0 + timedelta(hours=2)
        await stage.work(service)
    assert stage.ran == stage.instants(1)


@proves("worker", "idempotent_enqueue")
async def test_an_instant_is_run_once_although_its_worker_dies_after_it_has_sent(bench: Bench) -> None:
    async with staged(bench) as (stage, service):
        result = await service.dispatch(stage.job, schedule=HOURLY)
        [book] = await service.books.all()

        async def send_and_die(record: Record, instant: datetime) -> None:
            await send_instant(service, record, instant)
            raise KilledError

        stage.clock.advance("1h")
        with pytest.raises(KilledError):
            await stage.firing(book, send_and_die).turn(result.schedule_id or "", T0)
        stage.clock.advance(PATIENCE)
        fired = await stage.firing(book, partial(send_instant, service)).turn(result.schedule_id or "", T0)
        assert fired == T0 + timedelta(hours=2)
        await stage.work(service)
        await bench.nothing(service.rules.address(stage.queue))
    assert stage.ran == stage.instants(1)


@proves("worker")
async def test_a_job_that_was_run_is_not_sent_again_for_a_worker_that_died(bench: Bench) -> None:
    async with staged(bench) as (stage, service):
        result = await service.dispatch(stage.job, schedule=HOURLY)
        [book] = await service.books.all()

        async def send_and_die(record: Record, instant: datetime) -> None:
            await send_instant(service, record, instant)
            raise KilledError

        stage.clock.advance("1h")
        with pytest.raises(KilledError):
            await stage.firing(book, send_and_die).turn(result.schedule_id or "", T0)
        await stage.work(service)
        assert stage.ran == stage.instants(1)
        stage.clock.advance(PATIENCE)
        await stage.firing(book, partial(send_instant, service)).turn(result.schedule_id or "", T0)
        await bench.nothing(service.rules.address(stage.queue), during=TICK)
    assert stage.ran == stage.instants(1)


@proves("worker")
async def test_who_wakes_in_the_middle_of_firing_makes_no_second_run(bench: Bench) -> None:
    async with staged(bench) as (stage, service):
        result = await service.dispatch(stage.job, schedule=HOURLY)
        [book] = await service.books.all()
        gate, asleep = asyncio.Event(), asyncio.Event()

        async def send_later(record: Record, instant: datetime) -> None:
            asleep.set()
            await gate.wait()
            await send_instant(service, record, instant)

        stage.clock.advance("1h")
        turn = asyncio.create_task(stage.firing(book, send_later).turn(result.schedule_id or "", T0))
        await asleep.wait()
        stage.clock.advance(PATIENCE)
        await stage.work(service)
        gate.set()
        await turn
        await Worker(service).run_until_idle()
        end = bench.timer(bench.soon / 10)
        while not bench.virtual and end.left() > ZERO:
            await bench.pass_time(TICK)
            await Worker(service).run_until_idle()
        await bench.nothing(service.rules.address(stage.queue))
    assert stage.ran == stage.instants(1)


@proves("worker")
async def test_what_was_missed_is_caught_up_as_the_schedule_says(bench: Bench) -> None:
    expected: dict[CatchUp, list[int]] = {"latest": [3, 4], "all": [1, 2, 3, 4], "skip": [4]}
    for catch_up, hours in expected.items():
        async with staged(bench) as (stage, service):
            await service.dispatch(stage.job, schedule=Schedule(every="1h", catch_up=catch_up))
            stage.clock.advance("3h30m")
            await stage.work(service)
            stage.clock.advance("30m")
            await stage.work(service)
            assert sorted(stage.ran) == stage.instants(*hours), catch_up


@proves("worker")
async def test_a_limit_and_an_end_are_exact(bench: Bench) -> None:
    for schedule in (Schedule(every="1h", limit=3), Schedule(every="1h", end_at=T0 + timedelta(hours=3))):
        async with staged(bench) as (stage, service):
            await service.dispatch(stage.job, schedule=schedule)
            for _ in range(3):
                stage.clock.advance("1h")
                await stage.work(service)
            stage.clock.advance("5h")
            await Worker(service).run_until_idle()
            [entry] = await service.schedules()
        assert stage.ran == stage.instants(1, 2, 3)
        assert (entry.status, entry.next_run_at, entry.runs) == ("finished", None, 3)


@proves("worker")
async def test_a_time_of_day_runs_once_in_the_night_that_has_it_twice(bench: Bench) -> None:
    async with staged(bench) as (stage, service):
        stage.clock.advance_to(datetime(2026, 10, 31, 12, tzinfo=UTC))
        await service.dispatch(stage.job, schedule=Schedule(cron="30 1 * * *", tz="America/New_York"))
        for _ in range(24):  # the second 01:30 is at 06:30 UTC
            stage.clock.advance("1h")
            await Worker(service).run_until_idle()
        await stage.work(service)
    assert stage.ran == [datetime(2026, 11, 1, 5, 30, tzinfo=UTC)]


@proves("worker")
async def test_a_changed_or_removed_schedule_takes_effect_on_a_worker_that_runs(bench: Bench) -> None:
    async with staged(bench) as (stage, service), stage.service() as other:
        await other.dispatch(stage.job, schedule=Schedule(every="10s"), schedule_id="s")

        async def passes(seconds: int, runs: int) -> None:
            for _ in range(seconds):
                stage.clock.advance("1s")
                await asyncio.sleep(BREATH)
            await stage.until(runs)
            assert len(stage.ran) == runs

        async with Worker(service):
            await passes(10, 1)
            await other.dispatch(stage.job, schedule=Schedule(every="3s"), schedule_id="s")
            await passes(4, 2)
            assert await other.cancel_schedule("s")
            await passes(15, 2)


@refuses("KeepsState")
async def test_a_recurrence_is_refused_where_there_is_no_place_for_it(bench: Bench) -> None:
    queue = bench.queue()
    job = define_job(name="tick", handler=lambda: None, queue=queue, schedule=HOURLY)
    async with JobService(bench.driver, jobs=[job], clock=bench.harness.clock) as service:
        with pytest.raises(UnsupportedError):
            await service.dispatch(job, schedule=HOURLY)
        with pytest.raises(UnsupportedError):
            await service.check()
        await bench.nothing(queue)

"""The whole path over this broker: a service sends, a real worker runs, and every job has its fate."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from waybill import Job, JobContext, JobService, PermanentJobError, Retry, Worker, define_job
from waybill.driver import DeadLetter, DeadReason, Delivery, ReadsDeadLetters
from waybill.errors import DelayNotSupportedError, EnqueueError, InvalidQueueNameError, PayloadTooLargeError
from waybill.timing import ZERO

from ..bench import TICK, Bench
from ..case import proves

BRIEF = Retry(max_attempts=3, backoff=timedelta(milliseconds=20))


@contextlib.asynccontextmanager
async def service_of(bench: Bench, *jobs: Job[Any, Any]) -> AsyncIterator[JobService]:
    async with JobService(bench.driver, jobs=jobs, clock=bench.harness.clock) as service:
        yield service


async def work(bench: Bench, service: JobService, queue: str, *, until: Callable[[], bool]) -> None:
    """Let a worker run what is due, again and again until this holds."""
    end = bench.timer(bench.soon * 4)
    while not until():
        assert end.left() > ZERO, "the worker does not come to that"
        await Worker(service, [queue]).run_until_idle()
        await bench.pass_time(TICK)


async def dead_letters(bench: Bench, queue: str, count: int) -> list[DeadLetter]:
    """The dead letters of a queue; where the driver reads none, those that the core files in a queue of its own."""
    if isinstance(bench.driver, ReadsDeadLetters):
        return list((await bench.driver.list_dead(queue)).entries)
    found = []
    for each in await bench.receive(f"{queue}.dead", limit=count):
        told = {name.removeprefix("waybill-dead-"): value for name, value in each.message.headers.items()}
        at = datetime.fromisoformat(told["at"])
        reason = DeadReason(told["code"], told["error"], int(told["attempt"]), at)  # type: ignore[arg-type]
        found.append(DeadLetter(each.message, reason))
    return found


@proves("worker")
async def test_a_job_that_returns_is_done(bench: Bench) -> None:
    queue, ran = bench.queue(), list[int]()
    job = define_job(name="add", handler=ran.append, schema=int, queue=queue)
    async with service_of(bench, job) as service:
        for number in range(20):
            await service.enqueue(job, number)
        await work(bench, service, queue, until=lambda: len(ran) >= 20)
        await bench.nothing(queue)
    assert sorted(ran) == list(range(20))


@proves("worker")
async def test_a_job_that_fails_runs_as_often_as_allowed_and_is_kept_with_its_last_error(bench: Bench) -> None:
    queue, attempts = bench.queue(), list[int]()

    async def fail(ctx: JobContext) -> None:
        attempts.append(ctx.attempt)
        raise ValueError(f"no. {ctx.attempt}: grüße")

    job = define_job(name="fail", handler=fail, queue=queue, retry=BRIEF)
    async with service_of(bench, job) as service:
        sent = await service.enqueue(job)
        await work(bench, service, queue, until=lambda: len(attempts) >= 3)
        await bench.nothing(queue)
        [letter] = await dead_letters(bench, queue, 1)
    assert attempts == [1, 2, 3]
    assert letter.message.id == sent.job_id
    assert (letter.reason.code, letter.reason.attempt) == ("exhausted", 3)
    assert "no. 3" in letter.reason.error


@proves("worker")
async def test_a_job_that_gives_up_for_good_is_a_dead_letter_at_once(bench: Bench) -> None:
    queue, ran = bench.queue(), list[int]()

    async def fail(ctx: JobContext) -> None:
        ran.append(ctx.attempt)
        raise PermanentJobError("never again")

    job = define_job(name="fail", handler=fail, queue=queue)
    async with service_of(bench, job) as service:
        await service.enqueue(job)
        await work(bench, service, queue, until=lambda: bool(ran))
        await bench.nothing(queue)
        [letter] = await dead_letters(bench, queue, 1)
    assert ran == [1]
    assert (letter.reason.code, letter.reason.attempt) == ("permanent", 1)


@proves("worker")
async def test_bytes_that_are_no_job_become_a_dead_letter_and_hold_up_nothing(bench: Bench) -> None:
    queue, ran = bench.queue(), list[int]()
    bodies = [b"", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"v":99,"jobName":"add"}', b'{"jobName":7}']
    job = define_job(name="add", handler=ran.append, schema=int, queue=queue)
    async with service_of(bench, job) as service:
        for number, body in enumerate(bodies):
            await bench.driver.enqueue(bench.message(queue, body=body))
            await service.enqueue(job, number)
        await work(bench, service, queue, until=lambda: len(ran) >= len(bodies))
        await bench.nothing(queue)
        letters = await dead_letters(bench, queue, len(bodies))
    assert sorted(ran) == list(range(len(bodies)))
    assert sorted(each.message.body for each in letters) == sorted(bodies), "the raw bytes are kept"
    assert {each.reason.code for each in letters} == {"undecodable"}


@proves("worker", power="raw")
async def test_what_another_program_has_written_becomes_a_dead_letter_and_holds_up_nothing(bench: Bench) -> None:
    queue, ran = bench.queue(), list[int]()
    bodies = [b"hello", b"\x00\xff", b'{"not":"a job"}']
    job = define_job(name="add", handler=ran.append, schema=int, queue=queue)
    async with service_of(bench, job) as service:
        await service.enqueue(job, 1)
        for body in bodies:
            await bench.harness.raw(queue, body)
        await service.enqueue(job, 2)
        await work(bench, service, queue, until=lambda: len(ran) >= 2)
        await bench.nothing(queue)
        letters = await dead_letters(bench, queue, len(bodies))
    assert sorted(ran) == [1, 2]
    assert sorted(each.message.body for each in letters) == sorted(bodies)
    assert {each.reason.code for each in letters} == {"undecodable"}


@proves("worker")
async def test_a_job_that_nobody_here_knows_is_kept_and_nothing_is_imported(bench: Bench) -> None:
    queue = bench.queue()
    names = ["os.system", "../x", "__class__", "builtins:exec", "of-a-newer-version"]
    async with service_of(bench) as service:
        for name in names:
            await service.enqueue(name, queue=queue)
        await Worker(service, [queue]).run_until_idle()
    await bench.pass_time(timedelta(seconds=3) if bench.virtual else ZERO)  # they come back after a backoff
    bench.driver = await bench.open()
    left: list[Delivery] = []
    for _ in names:  # each after a delay of its own
        left.append(await bench.take(queue, within=bench.soon * 2))
        await bench.driver.ack(left[-1])
    assert sorted(each.message.job_name for each in left) == sorted(names)
    assert all(each.attempt > 1 for each in left), "one was not tried"  # its delay may have been next to nothing


@proves("worker", "exact_attempts", given=lambda claims: claims.lease is not None)
async def test_a_job_that_kills_its_worker_is_given_up_after_its_attempts(bench: Bench) -> None:
    queue, ran = bench.queue(), list[int]()
    job = define_job(name="kill", handler=lambda: ran.append(1), queue=queue, retry=2)
    async with service_of(bench, job) as service:
        await service.enqueue(job)
        for _ in range(2):
            await bench.take(queue)
            await bench.pass_time(bench.lease)
        await Worker(service, [queue]).run_until_idle()
        [letter] = await dead_letters(bench, queue, 1)
    assert not ran
    assert letter.reason.code == "lease-expired"


@proves("worker", "Releases", "exact_attempts")
async def test_a_worker_that_stops_gives_back_what_it_cannot_finish(bench: Bench) -> None:
    queue, begun = bench.queue(), asyncio.Event()

    async def last() -> None:
        begun.set()
        await asyncio.sleep(3600)

    job = define_job(name="last", handler=last, queue=queue)
    async with service_of(bench, job) as service:
        await service.enqueue(job)
        worker = Worker(service, [queue], concurrency=1)
        running = asyncio.ensure_future(worker.run())
        await asyncio.wait_for(begun.wait(), bench.soon.total_seconds())
        await worker.stop(grace="0s")
        await asyncio.wait([running], timeout=bench.soon.total_seconds())
        assert running.done()
    bench.driver = await bench.open()
    assert (await bench.take(queue)).attempt == 1


@proves("worker")
async def test_the_result_of_an_enqueue_says_what_became_of_it(bench: Bench) -> None:
    queue = bench.queue()
    job = define_job(name="send", handler=lambda: None, queue=queue)
    async with service_of(bench, job) as service:
        now = await service.enqueue(job)
        later = await service.enqueue_in(job, None, "1h" if bench.claims.max_delay is None else bench.claims.max_delay)
        assert (now.status, now.queue, now.scheduled_at) == ("queued", queue, None)
        assert now.message_id
        assert later.status == "scheduled"
        assert later.scheduled_at is not None
        assert later.scheduled_at.utcoffset() == ZERO


@proves("worker")
async def test_a_bad_name_or_time_is_refused_and_nothing_is_stored(bench: Bench) -> None:
    queue = bench.queue()
    job = define_job(name="send", handler=lambda: None, queue=queue)
    async with service_of(bench, job) as service:
        for name in ("", "a b", "a:b", "-a", "x" * 65, "a\n", "a\x00", f"{queue}.dead"):
            with pytest.raises(InvalidQueueNameError):
                await service.enqueue(job, queue=name)
        with pytest.raises(EnqueueError):
            await service.enqueue_at(job, None, datetime(2030, 1, 1))  # noqa: DTZ001 - that is what is refused
        for delay in (-1, float("nan"), float("inf"), "10x"):
            with pytest.raises(EnqueueError):
                await service.enqueue_in(job, None, delay)
    bench.driver = await bench.open()
    await bench.nothing(queue)


@proves("max_delay", given=lambda claims: claims.max_delay is not None)
async def test_a_delay_over_the_limit_is_refused_and_nothing_is_stored(bench: Bench) -> None:
    queue = bench.queue()
    job = define_job(name="send", handler=lambda: None, queue=queue)
    async with service_of(bench, job) as service:
        with pytest.raises(DelayNotSupportedError):
            await service.enqueue_in(job, None, bench.claims.max_delay + timedelta(seconds=1))
    bench.driver = await bench.open()
    await bench.nothing(queue)


@proves("max_message_bytes", given=lambda claims: claims.max_message_bytes is not None)
async def test_a_job_over_the_limit_is_refused_and_nothing_is_stored(bench: Bench) -> None:
    queue, limit = bench.queue(), bench.claims.max_message_bytes
    job = define_job(name="send", handler=len, schema=str, queue=queue)
    async with JobService(bench.driver, jobs=[job], max_payload_bytes=2 * limit) as service:
        with pytest.raises(PayloadTooLargeError) as refused:
            await service.enqueue(job, "x" * limit)
    assert refused.value.limit == limit
    bench.driver = await bench.open()
    await bench.nothing(queue)

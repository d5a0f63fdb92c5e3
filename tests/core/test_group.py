"""One group's deliveries run one by one, in order; groups do not wait for one another."""

import asyncio
from collections import defaultdict
from datetime import timedelta

import pytest

from waybill import Delivery, JobService, PermanentJobError, Retry, TransientJobError, Worker, define_job
from waybill.testing import run_until_idle

ZERO = timedelta()


class Trace:
    """Handlers that take a few steps, and note who runs beside whom."""

    def __init__(self, fate=lambda payload, ctx: None, **options):
        self.ran, self.running, self.fate = [], defaultdict(int), fate
        self.job = define_job(name="x", handler=self.handle, group=lambda payload: payload[0], **options)

    async def handle(self, payload, ctx):
        group = payload[0]
        self.running[group] += 1
        assert self.running[group] == 1, "two of one group at a time"
        for _ in range(3):
            await asyncio.sleep(0)
        self.running[group] -= 1
        self.ran.append(payload)
        self.fate(payload, ctx)

    def of(self, group):
        return [payload[1] for payload in self.ran if payload[0] == group]


@pytest.fixture
def handing_out_all(driver, wrapped):
    """A driver that hands out a whole group at once, as brokers with a prefetch do."""

    def make(**claims):
        spied = wrapped(driver, "release", **claims)
        waiting, given = [], {}

        async def enqueue(message):
            if message.queue.endswith(".dead"):
                return message.id
            waiting.append((message, 1))
            return message.id

        async def receive(queue, *, limit, wait):
            taken = [Delivery(message, attempt, object()) for message, attempt in waiting[:limit]]
            del waiting[:limit]
            for each in taken:
                given[each.receipt] = each
            if not taken and wait > ZERO:
                await asyncio.sleep(3600)
            return taken

        async def back(delivery, *, delay=ZERO, spent=1):
            given.pop(delivery.receipt)
            place = next((i for i, (each, _) in enumerate(waiting) if each.id > delivery.message.id), len(waiting))
            waiting.insert(place, (delivery.message, delivery.attempt + spent))

        async def release(delivery, *, delay=ZERO):
            await back(delivery, spent=0)

        async def ack(delivery):
            given.pop(delivery.receipt)

        spied.enqueue, spied.receive, spied.nack, spied.release, spied.ack = enqueue, receive, back, release, ack
        spied.waiting, spied.given = waiting, given
        return spied

    return make


async def send(service, trace, *payloads):
    for number, payload in enumerate(payloads):
        await service.enqueue(trace.job, payload, job_id=f"id{number:03}")


@pytest.mark.parametrize("greedy", [False, True], ids=["memory", "greedy"])
async def test_a_group_runs_one_by_one_in_order_and_groups_side_by_side(driver, handing_out_all, greedy):
    trace = Trace()
    service = JobService(handing_out_all() if greedy else driver)
    await send(service, trace, *((group, n) for n in range(10) for group in "abc"))
    assert await run_until_idle(service) == 30
    assert all(trace.of(group) == list(range(10)) for group in "abc")
    assert trace.ran[:3] == [["a", 0], ["b", 0], ["c", 0]]


@pytest.mark.parametrize("greedy", [False, True], ids=["memory", "greedy"])
async def test_order_holds_when_one_of_them_is_retried(driver, handing_out_all, clock, greedy):
    failed = []

    def fail_once(payload, ctx):
        if payload[1] == 2 and ctx.attempt == 1:
            failed.append(trace.ran.pop())
            raise TransientJobError(retry_after=0)

    trace = Trace(fail_once)
    service = JobService(handing_out_all() if greedy else driver)
    await send(service, trace, *(("a", n) for n in range(6)))
    assert await run_until_idle(service) == 7
    assert trace.of("a") == list(range(6))
    assert len(failed) == 1


async def test_a_retry_with_a_delay_holds_its_group_back(driver, clock):
    def fail_once(payload, ctx):
        if payload == ["a", 0] and ctx.attempt == 1:
            trace.ran.remove(payload)
            raise TransientJobError(retry_after="10m")

    trace = Trace(fail_once)
    service = JobService(driver)
    await send(service, trace, ("a", 0), ("a", 1), ("b", 0))
    await run_until_idle(service)
    assert trace.ran == [["b", 0]]
    clock.advance("10m")
    await run_until_idle(service)
    assert trace.of("a") == [0, 1]


@pytest.mark.parametrize("greedy", [False, True], ids=["memory", "greedy"])
async def test_one_that_is_given_up_lets_the_next_come(driver, handing_out_all, greedy):
    def fail(payload, ctx):
        if payload[1] == 1:
            raise PermanentJobError("x")

    trace = Trace(fail, retry=Retry(dead=not greedy))
    service = JobService(handing_out_all() if greedy else driver)
    await send(service, trace, *(("a", n) for n in range(4)))
    await run_until_idle(service)
    assert trace.of("a") == [0, 1, 2, 3]


async def test_what_waits_behind_its_group_keeps_its_lease_and_goes_back_at_a_stop(handing_out_all, until):
    release, started = asyncio.Event(), []

    async def slow(payload):
        started.append(payload)
        await release.wait()

    spied = handing_out_all()
    service = JobService(spied)
    job = define_job(name="y", handler=slow, group="g")
    for n in range(4):
        await service.enqueue(job, n, job_id=f"id{n}")
    worker = Worker(service)
    await worker.__aenter__()
    await until(lambda: started == [0])
    assert len(spied.given) == 4
    stopping = asyncio.create_task(worker.stop())
    await until(lambda: len(spied.waiting) == 3)
    release.set()
    await stopping
    assert started == [0]
    assert [(message.id, attempt) for message, attempt in spied.waiting] == [("id1", 1), ("id2", 1), ("id3", 1)]


@pytest.mark.parametrize(
    ("group", "expected"), [("fixed", "fixed"), (lambda p: p, "5"), (lambda p: None, None), (None, None)]
)
async def test_a_group_is_text_or_computed_from_the_payload(service, driver, group, expected):
    await service.enqueue(define_job(name="x", group=group), 5)
    assert driver.enqueued[0].message.group == expected


async def test_a_delayed_one_that_never_began_holds_nobody_back(driver, clock):
    trace = Trace()
    service = JobService(driver)
    await service.enqueue_in(trace.job, ("a", "later"), "1h")
    await service.enqueue(trace.job, ("a", "now"))
    await run_until_idle(service)
    assert trace.of("a") == ["now"]
    clock.advance("1h")
    await run_until_idle(service)
    assert trace.of("a") == ["now", "later"]

"""A driver with the six verbs alone: the core makes up for each verb that is missing."""

import asyncio
import json
from datetime import timedelta

import pytest

from waybill import BrokerUnavailableError, JobService, PermanentJobError, TransientJobError, Worker, define_job
from waybill.driver import OPTIONAL
from waybill.sending.connection import Connection
from waybill.testing import run_until_idle

ZERO = timedelta()
HOUR = timedelta(hours=1)
RAN = []


@pytest.fixture(autouse=True)
def forget():
    RAN.clear()


async def note(payload, ctx):
    RAN.append((ctx.queue, payload))


JOB = define_job(name="x", handler=note)


def names(spied):
    return [name for name, _ in spied.calls]


async def ids(driver, queue):
    return [each.message.id for each in await driver.receive(queue, limit=99, wait=ZERO)]


def test_the_six_verbs_claim_no_other(driver, wrapped):
    six = wrapped(driver)
    assert not any(isinstance(six, each) for each in OPTIONAL)
    assert all(isinstance(driver, each) for each in OPTIONAL)


async def test_everything_runs_with_the_six_verbs_alone(driver, wrapped, clock):
    def fate(payload, ctx):
        RAN.append(payload)
        if payload == "permanent":
            raise PermanentJobError("never")
        if payload == "transient" and ctx.attempt == 1:
            raise TransientJobError(retry_after=1)

    service = JobService(wrapped(driver), jobs=[define_job(name="y", handler=fate, queue="other"), JOB])
    await service.enqueue_batch([("y", each) for each in ("fine", "permanent", "transient")] + [(JOB, 1)])
    assert await run_until_idle(service) == 4
    clock.advance(1)
    assert await run_until_idle(service) == 1
    assert RAN.count("transient") == 2
    assert (await driver.clone().stats("other")).ready == 0


# -- bury -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [None, "graves"])
@pytest.mark.parametrize("namespace", [None, "prd"])
async def test_without_bury_a_copy_goes_to_the_dead_queue_with_its_reason(driver, wrapped, to, namespace):
    def failing():
        raise PermanentJobError("schöner Fehler\n" + "x" * 5000)

    service = JobService(wrapped(driver), namespace=namespace)
    job = define_job(name="y", handler=failing, dead_letter_queue=to, priority=3, group="g")
    await service.enqueue(job, {"a": 1}, job_id="id1")
    await run_until_idle(service)
    prefix = f"{namespace}." if namespace else ""
    assert (await driver.clone().stats(f"{prefix}default")).ready == 0
    copy = driver.enqueued[-1].message
    assert copy.queue == f"{prefix}{to or 'default'}.dead"
    assert (copy.id, copy.payload) == ("id1", {"a": 1})
    assert (copy.unique, copy.group, copy.priority) == (None, None, 0)
    assert (copy.headers["waybill-dead-code"], copy.headers["waybill-dead-attempt"]) == ("permanent", "1")
    assert copy.headers["waybill-dead-at"] == "2026-01-01T00:00:00.000000Z"
    assert all(each.isascii() for each in (*copy.headers, *copy.headers.values()))
    assert sum(len(name) + len(value) for name, value in copy.headers.items()) < 4096


# -- release --------------------------------------------------------------------------------------------------


async def test_without_release_a_stopped_job_is_nacked(driver, wrapped, until):
    started = []

    async def endless():
        started.append(1)
        await asyncio.Event().wait()

    spied = wrapped(driver)
    service = JobService(spied)
    await service.enqueue(define_job(name="y", handler=endless))
    worker = Worker(service, grace=ZERO)
    await worker.__aenter__()
    await until(lambda: started)
    await worker.stop()
    assert names(spied)[-1] == "nack"
    assert (await driver.clone().stats("default")).ready == 1


# -- several queues ---------------------------------------------------------------------------------------------


@pytest.fixture
def connection(driver, clock, wrapped):
    def make(*verbs, before=None):
        return Connection(wrapped(driver, *verbs, before=before), clock, HOUR)

    return make


async def fill(service, *queues):
    for number, queue in enumerate(queues):
        await service.enqueue(JOB, number, queue=queue, job_id=f"id{number}")


@pytest.mark.parametrize("verbs", [(), ("receive_many",)], ids=["probing", "receive_many"])
async def test_earlier_queues_come_first_and_the_limit_is_in_total(service, connection, verbs):
    await fill(service, "b", "a", "b", "a", "c")
    found = await connection(*verbs).receive(["a", "b", "c"], limit=3, wait=HOUR)
    assert [each.message.id for each in found] == ["id1", "id3", "id0"]


async def test_a_job_in_any_queue_ends_the_wait(service, connection, driver):
    for queue in ("a", "b", "c"):
        waiting = asyncio.create_task(connection().receive(["a", "b", "c"], limit=5, wait=HOUR))
        for _ in range(10):
            await asyncio.sleep(0)
        await service.enqueue(JOB, queue=queue)
        async with asyncio.timeout(5):
            [found] = await waiting
        assert found.message.queue == queue
        await driver.ack(found)


@pytest.mark.parametrize("limit", [1, 2])
async def test_what_comes_beyond_the_limit_goes_back_without_spending_an_attempt(service, connection, driver, limit):
    waiting = asyncio.create_task(connection("release").receive(["a", "b", "c"], limit=limit, wait=HOUR))
    for _ in range(10):
        await asyncio.sleep(0)
    await fill(service, "c", "b", "a")
    found = await waiting
    assert len(found) == limit
    rest = [each for queue in "abc" for each in await driver.receive(queue, limit=9, wait=ZERO)]
    assert len(found) + len(rest) == 3
    assert {each.attempt for each in rest} == {1}


async def test_waiting_on_empty_queues_ends_with_the_wait(connection, clock):
    waiting = asyncio.create_task(connection().receive(["a", "b"], limit=1, wait=HOUR))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(HOUR)
    assert list(await waiting) == []


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_wait_on_several_queues_loses_and_spends_nothing(service, connection, driver, steps):
    waiting = asyncio.create_task(connection("release").receive(["a", "b", "c"], limit=2, wait=HOUR))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await fill(service, "a", "b", "c")
    for _ in range(steps):
        await asyncio.sleep(0)
    waiting.cancel()
    found = await asyncio.gather(waiting, return_exceptions=True)
    taken = [] if isinstance(found[0], asyncio.CancelledError) else found[0]
    rest = [each for queue in "abc" for each in await driver.receive(queue, limit=9, wait=ZERO)]
    assert len(taken) + len(rest) == 3, "it was neither given nor given back"
    assert {each.attempt for each in rest} <= {1}


@pytest.mark.parametrize("cancel", [True, False], ids=["cancelled", "broken"])
async def test_a_probe_that_does_not_get_through_keeps_what_it_found(service, connection, driver, cancel):
    async def second_fails(name, *args):
        if name == "receive" and args[0] == "b":
            if cancel:
                await asyncio.sleep(3600)
            raise BrokerUnavailableError("down")

    await fill(service, "a")
    probing = asyncio.create_task(connection("release", before=second_fails).receive(["a", "b"], limit=5, wait=HOUR))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if cancel:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        assert [each.attempt for each in await driver.receive("a", limit=9, wait=ZERO)] == [1]
    else:
        assert [each.message.id for each in await probing] == ["id0"]


async def test_a_broker_that_is_down_is_told_where_nothing_was_found(connection):
    async def fail(name, *args):
        raise BrokerUnavailableError("down")

    with pytest.raises(BrokerUnavailableError):
        await connection(before=fail).receive(["a", "b"], limit=5, wait=HOUR)


async def test_a_worker_of_many_queues_needs_no_receive_many(driver, wrapped, until):
    service = JobService(wrapped(driver), jobs=[JOB], queues=["default", "a", "b", "c"])
    async with Worker(service, concurrency=2):
        for number in range(20):
            await service.enqueue(JOB, number, queue="abc"[number % 3])
        await until(lambda: len(RAN) == 20)
    assert sorted(payload for _, payload in RAN) == list(range(20))


async def test_the_body_is_never_touched_on_the_way(driver, wrapped):
    service = JobService(wrapped(driver), jobs=[define_job(name="y", handler=lambda: 1 / 0, retry=1)])
    await service.enqueue("y", {"a": 1}, metadata={"m": 1})
    await run_until_idle(service)
    first, copy = (json.loads(each.message.body) for each in driver.enqueued)
    assert first == copy

"""A worker over a server that stands still or restarts: it goes on by itself, and runs nothing twice without a cause."""

import asyncio
import time
from collections import Counter

import pytest

from waybill import JobService, Worker, define_job
from waybill.errors import EnqueueUnavailableError, EnqueueUnknownError

WITHIN = 2.0  # seconds after the server serves again


@pytest.fixture
async def running(server):
    """A service and a worker on a server of their own; what ran, with its attempts."""
    ran = []

    async def work(number: int, ctx) -> None:
        ran.append((number, ctx.attempt))

    job = define_job(name="work", handler=work, schema=int)
    async with JobService(f"{server.direct_url}?timeout=2s", jobs=[job]) as service, Worker(service):
        yield service, job, ran


async def until(true, seconds):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_a_worker_goes_on_by_itself_after_a_pause_of_five_seconds(server, running):
    service, job, ran = running
    await service.enqueue_batch([(job, number) for number in range(50)])
    await until(lambda: len(ran) == 50, 5)
    server.pause()
    start = time.monotonic()
    with pytest.raises(EnqueueUnknownError):
        await service.enqueue(job, 50)
    await asyncio.sleep(5 - (time.monotonic() - start))
    server.resume()
    resumed = time.monotonic()
    while True:
        try:
            await service.enqueue(job, 51)
            break
        except EnqueueUnavailableError:
            await asyncio.sleep(0.02)
    await until(lambda: (51, 1) in ran, WITHIN - (time.monotonic() - resumed))
    counted = Counter(number for number, _ in ran)
    assert counted.pop(50, 1) == 1  # it was stored or not
    assert sorted(counted.items()) == [(number, 1) for number in (*range(50), 51)]


async def test_a_worker_goes_on_by_itself_after_a_restart(server, running):
    service, job, ran = running
    await service.enqueue_in(job, 0, "100ms")
    await asyncio.to_thread(server.restart)
    await until(lambda: (0, 1) in ran, WITHIN)
    await service.enqueue(job, 1)
    await until(lambda: (1, 1) in ran, WITHIN)
    assert len(ran) == 2

"""service.sync: the same verbs for blocking code, on one background loop per process."""

import asyncio
import itertools
import os
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from waybill import ConfigurationError, EnqueueError, InvalidJobPayloadError, JobService, define_job
from waybill.testing import MemoryDriver

JOB = define_job(name="x", schema=int, handler=lambda payload: payload + 1)


@pytest.fixture
def service(driver):
    service = JobService(driver, jobs=[JOB])
    yield service
    service.sync.close()


def background():
    return [each for each in threading.enumerate() if each.name == "waybill-sync"]


def test_every_verb_has_its_blocking_twin(service, driver):
    sync = service.sync
    first = sync.enqueue(JOB, 1, job_id="id1")
    assert (first.status, first.job_id) == ("queued", "id1")
    assert sync.dispatch(JOB, 2).status == "queued"
    assert sync.enqueue_in(JOB, 3, "1m").status == "scheduled"
    assert sync.enqueue_at(JOB, 4, "2030-01-01T00:00:00Z").status == "scheduled"
    told = []
    assert len(sync.enqueue_batch([(JOB, 5), JOB.call(6)], on_progress=lambda *at: told.append(at)).ok) == 2
    assert told == [(2, 2)]
    assert sync.run_now(JOB, 7) == 8
    sync.check()
    assert sync.stats("default").ready == 4
    assert sync.cancel("id1") is True
    assert sync.cancel("id1", "default") is False
    assert sync.dead_letters("default").entries == []
    assert (sync.retry_dead("default"), sync.purge_dead("default")) == (0, 0)
    assert sync.purge("default") == 5
    assert len(driver.enqueued) == 6


def test_a_verb_raises_what_its_namesake_raises(service):
    with pytest.raises(InvalidJobPayloadError):
        service.sync.enqueue(JOB, "x")
    with pytest.raises(TypeError):
        service.sync.enqueue(JOB, 1, jobid="x")


def test_it_works_from_many_threads_at_once(service, driver):
    barrier = threading.Barrier(10)

    def send(number):
        barrier.wait()
        return [service.sync.enqueue(JOB, number * 100 + n).status for n in range(20)]

    with ThreadPoolExecutor(10) as pool:
        assert set(itertools.chain.from_iterable(pool.map(send, range(10)))) == {"queued"}
    assert len({each.payload for each in driver.enqueued}) == 200
    assert len(background()) == 1
    service.sync.close()
    assert background() == []


async def test_it_works_inside_a_running_loop(service, driver):
    assert service.sync.enqueue(JOB, 1).status == "queued"
    assert (await service.enqueue(JOB, 2)).status == "queued"
    assert len(driver.enqueued) == 2
    await service.close()


def test_services_share_one_background_loop(service):
    with JobService(MemoryDriver(), jobs=[JOB]).sync as other:
        service.sync.enqueue(JOB, 1)
        other.enqueue(JOB, 1)
        assert len(background()) == 1
    assert len(background()) == 1
    service.sync.close()
    assert background() == []


def test_closing_is_idempotent_and_a_later_verb_connects_again(service, driver):
    service.sync.close()
    with service.sync as sync:
        assert sync.open() is sync
        sync.enqueue(JOB, 1)
    service.sync.close()
    assert background() == []
    service.sync.enqueue(JOB, 2)
    assert len(driver.enqueued) == 2


def test_it_is_refused_on_its_own_loop(service):
    async def handler():
        return service.sync.enqueue(JOB, 1)

    with pytest.raises(ConfigurationError, match="own background loop"):
        service.sync.run_now(define_job(name="y", handler=handler))


async def test_a_driver_object_belongs_to_the_loop_that_opened_it(driver, wrapped):
    service = JobService(wrapped(driver), jobs=[JOB])
    await service.enqueue(JOB, 1)
    with pytest.raises(ConfigurationError, match="pass a URL or a factory") as caught:
        await asyncio.to_thread(service.sync.enqueue, JOB, 2)
    assert isinstance(caught.value, EnqueueError)
    service.sync.close()
    await service.close()


def test_the_same_holds_the_other_way_round(driver, wrapped):
    service = JobService(wrapped(driver), jobs=[JOB])
    service.sync.enqueue(JOB, 1)
    with pytest.raises(ConfigurationError, match="pass a URL or a factory"):
        asyncio.run(service.enqueue(JOB, 2))
    service.sync.close()


async def test_a_factory_gives_the_blocking_side_a_driver_of_its_own(wrapped):
    store, made = MemoryDriver(), []

    def factory():
        made.append(wrapped(store))
        return made[-1]

    service = JobService(factory, jobs=[JOB])
    await service.enqueue(JOB, 1)
    await asyncio.to_thread(service.sync.enqueue, JOB, 2)
    assert [[name for name, _ in each.calls] for each in made] == [["open", "enqueue"], ["open", "enqueue"]]
    await asyncio.to_thread(service.sync.close)
    assert [made[0].calls[-1][0], made[1].calls[-1][0]] == ["enqueue", "close"]
    await service.close()


async def test_a_url_gives_both_sides_the_same_store():
    service = JobService("memory://", jobs=[JOB])
    await service.enqueue(JOB, 1)
    await asyncio.to_thread(service.sync.enqueue, JOB, 2)
    assert (await service.stats("default")).ready == 2
    await asyncio.to_thread(service.sync.close)
    await service.enqueue(JOB, 3)
    await service.close()


class Spy(MemoryDriver):
    def __init__(self):
        super().__init__()
        self.seen = []

    async def enqueue(self, message):
        self.seen.append(message.id)
        return await super().enqueue(message)


async def test_a_subclass_of_the_memory_driver_serves_every_loop():
    spy = Spy()
    service = JobService(spy, jobs=[JOB])
    first = await service.enqueue(JOB, 1)
    second = await asyncio.to_thread(service.sync.enqueue, JOB, 2)
    await asyncio.to_thread(service.sync.close)
    await service.disconnect()
    third = await service.enqueue(JOB, 3)
    assert spy.seen == [first.job_id, second.job_id, third.job_id]
    assert len(await spy.receive("default", limit=5, wait=spy.clock.now() - spy.clock.now())) == 3
    await service.close()


def in_child(work):
    """Run *work* in a forked child; what it prints, or its traceback."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = str(work())
        except BaseException:
            told = traceback.format_exc()
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_it_opens_again_after_a_fork():
    service = JobService("memory://", jobs=[JOB])
    service.sync.enqueue(JOB, 1)

    def work():
        service.sync.enqueue(JOB, 2)
        ready = service.sync.stats("default").ready
        service.sync.close()
        return f"{ready} ready, {len(background())} threads"

    assert in_child(work) == "2 ready, 0 threads"  # its own copy of the memory
    assert service.sync.stats("default").ready == 1
    service.sync.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_closing_in_a_forked_child_leaves_the_parents_alone(service):
    service.sync.enqueue(JOB, 1)
    assert in_child(service.sync.close) == "None"
    assert service.sync.stats("default").ready == 1

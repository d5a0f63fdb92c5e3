"""A receive that waits is woken by what happens, in this process or another, and by time."""

import asyncio
import os
import shutil
import socket
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from waybill.driver import DeadReason
from waybill.errors import ConfigurationError
from waybill_sqlite import bell, waiting

SOON = timedelta(seconds=5)
NOW = timedelta()
HOUR = timedelta(hours=1)


def receiving(driver, queue="q", wait=SOON):
    return asyncio.create_task(driver.receive(queue, limit=10, wait=wait))


async def waits(task):
    """Whether it still waits after all that could be done at once was done."""
    await asyncio.sleep(0.1)
    return not task.done()


def ids(deliveries):
    return [delivery.message.id for delivery in deliveries]


@pytest.fixture
def only_bells(monkeypatch):
    """A driver that misses a datagram does not notice it by itself."""
    monkeypatch.setattr(waiting, "SAFETY", 60.0)


# -- in one process ------------------------------------------------------------------------------------


async def test_a_receive_returns_empty_when_its_wait_is_over(driver, clock):
    task = receiving(driver, wait=timedelta(seconds=3))
    assert await waits(task)
    clock.advance(2.999)
    assert await waits(task)
    clock.advance(0.001)
    assert await task == []


async def test_an_enqueue_wakes_a_waiting_receive_of_its_queue(driver, message):
    task, other = receiving(driver), receiving(driver, "other", wait=timedelta(seconds=1))
    assert await waits(task)
    await driver.enqueue(message("a"))
    assert ids(await task) == ["a"]
    assert await waits(other)
    other.cancel()


async def test_receive_many_waits_for_all_its_queues_at_once(driver, message):
    task = asyncio.create_task(driver.receive_many(["a", "b"], limit=1, wait=SOON))
    assert await waits(task)
    await driver.enqueue(message("x", queue="b"))
    assert ids(await task) == ["x"]


async def test_a_nack_wakes_and_so_do_a_release_a_retry_and_the_end_of_a_group(driver, message, take):
    async def woken_by(act):
        task = receiving(driver)
        assert await waits(task)
        await act
        return await task

    await driver.enqueue(message("a", group="g"))
    await driver.enqueue(message("b", group="g"))
    [held] = await take()
    [held] = await woken_by(driver.nack(held))
    [held] = await woken_by(driver.release(held))
    [after] = await woken_by(driver.ack(held))
    assert after.message.id == "b"
    await driver.bury(after, DeadReason("permanent", "", 1, datetime.now(UTC)))
    [after] = await woken_by(driver.retry_dead("q", None))
    assert after.message.id == "b"


async def test_a_job_that_comes_due_wakes_a_waiting_receive_and_not_before(driver, message, clock):
    await driver.enqueue_in(message("a"), timedelta(seconds=10))
    task = receiving(driver, wait=HOUR)
    assert await waits(task)
    clock.advance(9.999)
    assert await waits(task)
    clock.advance(0.001)
    assert ids(await task) == ["a"]


async def test_an_earlier_delayed_job_brings_the_alarm_forward(driver, message, clock):
    await driver.enqueue_in(message("late"), timedelta(minutes=10))
    task = receiving(driver, wait=HOUR)
    assert await waits(task)
    await driver.enqueue_in(message("early"), timedelta(minutes=1))
    clock.advance("1m")
    assert ids(await task) == ["early"]


async def test_the_end_of_a_lease_taken_while_one_waits_wakes_it(driver, message, clock):
    waiting = receiving(driver, wait=HOUR)
    assert await waits(waiting)
    await driver.enqueue(message("a"))
    await waiting
    second = receiving(driver, wait=HOUR)
    assert await waits(second)
    clock.advance("60s")
    assert [each.attempt for each in await second] == [2]


async def test_a_clock_that_jumps_ahead_releases_leases_early_and_back_delays_them(connect, message):
    class Clock:
        offset = timedelta()

        def now(self):
            return datetime(2026, 1, 1, tzinfo=UTC) + self.offset

        def monotonic(self):
            return 0.0

        def call_later(self, delay, callback):
            return asyncio.get_running_loop().call_later(delay.total_seconds(), callback)

    clock = Clock()
    driver = await connect(clock=clock)
    await driver.enqueue(message())
    [first] = await driver.receive("q", limit=1, wait=NOW)
    clock.offset = HOUR
    [second] = await driver.receive("q", limit=1, wait=NOW)
    assert (first.attempt, second.attempt) == (1, 2)
    clock.offset = timedelta()
    assert await driver.receive("q", limit=1, wait=NOW) == [], "late, never twice at a time"
    await driver.nack(second)
    assert [each.attempt for each in await driver.receive("q", limit=1, wait=NOW)] == [3]


async def test_many_waiting_receives_share_what_comes_without_loss_or_double(connect, message):
    driver = await connect()
    tasks = [asyncio.create_task(driver.receive("q", limit=1, wait=SOON)) for _ in range(20)]
    await asyncio.sleep(0.05)
    await driver.enqueue_batch([(message(), None) for _ in range(20)])
    got = [each.message.id for task in tasks for each in await task]
    assert sorted(map(int, got)) == list(range(1, 21))


# -- across processes ----------------------------------------------------------------------------------


async def test_another_processs_job_is_picked_up_within_milliseconds(connect, message, peer):
    driver = await connect()
    waiter = peer("wait_for_jobs", wait_for="waiting")
    late = []
    for _ in range(40):
        await asyncio.sleep(0.01)
        await driver.enqueue(message(body=str(time.time_ns()).encode()))
        late.append(float(await asyncio.to_thread(waiter.stdout.readline)))
    late.sort()
    assert late[10] < 20, f"the first quartile is {late[10]:.2f} ms"


@pytest.mark.parametrize("options", [{"wake": "poll"}, {"wake": "auto"}], ids=["polling", "without its socket"])
async def test_without_sockets_it_takes_a_poll_or_a_second(connect, message, path, options):
    receiver, sender = await connect(**options), await connect()
    task = receiving(receiver)
    await asyncio.sleep(0.2)
    shutil.rmtree(f"{path}.wake", ignore_errors=True)
    start = time.monotonic()
    await sender.enqueue(message("a"))
    assert ids(await task) == ["a"]
    assert time.monotonic() - start < 4


async def test_a_driver_has_a_socket_only_once_it_has_waited_and_removes_it(connect, path):
    driver = await connect()
    await driver.receive("q", limit=1, wait=NOW)
    assert not os.path.exists(f"{path}.wake")
    await driver.receive("q", limit=1, wait=timedelta(milliseconds=1))
    assert len(os.listdir(f"{path}.wake")) == 1
    assert os.stat(f"{path}.wake").st_mode & 0o777 == 0o700
    await driver.close()
    assert os.listdir(f"{path}.wake") == []


async def test_the_socket_of_a_dead_process_is_cleared_away(connect, message, path):
    driver = await connect()
    os.mkdir(f"{path}.wake", 0o700)
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(f"{path}.wake/1-dead.sock")
    dead.close()
    await driver.enqueue(message())
    await driver.close()
    assert os.listdir(f"{path}.wake") == []


async def test_a_receiver_that_reads_nothing_holds_nobody_up(connect, message, path):
    driver = await connect()
    os.mkdir(f"{path}.wake", 0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(f"{path}.wake/1-deaf.sock")
        async with asyncio.timeout(10):
            for _ in range(600):  # more than its buffer holds
                await driver.enqueue(message())


async def test_a_datagram_of_a_stranger_does_no_harm(connect, message, path):
    driver = await connect()
    task = receiving(driver)
    await asyncio.sleep(0.1)
    [name] = os.listdir(f"{path}.wake")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        for datagram in (b"", b"\xff\xfe", b"q", b"x" * 9000):
            stranger.sendto(datagram, f"{path}.wake/{name}")
    assert await waits(task)
    await driver.enqueue(message())
    assert len(await task) == 1


@pytest.mark.usefixtures("only_bells")
async def test_a_change_of_very_many_queues_is_told_in_one_short_datagram(connect, message):
    receiver, sender = await connect(), await connect()
    task = receiving(receiver, "queue-777")
    await asyncio.sleep(0.1)
    await sender.enqueue_batch([(message(queue=f"queue-{number}"), None) for number in range(2000)])
    assert len(await task) == 1


@pytest.mark.usefixtures("only_bells")
async def test_a_path_too_long_for_sockets_has_them_in_the_temporary_directory(connect, message, tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    receiver, sender = await connect(deep / "jobs.db", wake="socket"), await connect(deep / "jobs.db")
    task = receiving(receiver)
    await asyncio.sleep(0.1)
    directory = bell.directory_for(receiver.path)
    assert directory.parent == Path(tempfile.gettempdir())
    assert len(list(directory.iterdir())) == 1
    await sender.enqueue(message())
    assert len(await task) == 1
    await receiver.close()
    directory.rmdir()


@pytest.mark.usefixtures("only_bells")
async def test_wake_socket_is_refused_where_there_can_be_none_and_auto_polls(connect, path, message):
    Path(f"{path}.wake").write_text("in the way")
    strict = await connect(wake="socket")
    with pytest.raises(ConfigurationError, match="wake=poll"):
        await strict.receive("q", limit=1, wait=SOON)
    driver, sender = await connect(), await connect()
    task = receiving(driver)
    await asyncio.sleep(0.1)
    await sender.enqueue(message())
    assert len(await task) == 1
    assert any("polling" in note.fact and note.level == "warning" for note in await driver.diagnose())


async def test_a_waiting_driver_costs_next_to_nothing(connect):
    driver = await connect()
    task = receiving(driver, wait=timedelta(seconds=2.5))
    await asyncio.sleep(0.2)
    start = time.process_time()
    await task
    assert time.process_time() - start < 0.15

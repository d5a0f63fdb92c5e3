"""Several processes on one file: killed, stopped, saturated and forked."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest

from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EnqueueUnavailableError,
    LeaseLostError,
)
from waybill_sqlite import SqliteDriver

SOON = timedelta(seconds=5)
NOW = timedelta()


async def lines(process, count):
    return [(await asyncio.to_thread(process.stdout.readline)).strip() for _ in range(count)]


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.009, 0.017, 0.031])
async def test_a_killed_producer_leaves_every_accepted_job_and_no_half_batch(connect, peer, path, delay):
    producer = peer("produce", "p", wait_for="0")
    accepted = int((await lines(producer, 20))[-1])
    await asyncio.sleep(delay)
    producer.kill()
    rest = producer.stdout.read().split()  # communicate() would miss what was read ahead
    producer.wait()
    accepted = int(rest[-1]) if rest else accepted
    driver = await connect()
    got = await driver.receive("q", limit=100_000, wait=NOW)
    numbers = [delivery.message.id.split("-")[1] for delivery in got]
    stored = set(map(int, numbers))
    assert set(range(accepted + 1)) <= stored, "an accepted job is missing"
    assert len(stored) <= accepted + 2, "at most one batch was stored and not yet told"
    assert all(numbers.count(str(number)) == 3 for number in list(stored)[-3:]), "all or nothing"
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


async def test_a_killed_workers_job_comes_back_after_its_lease_with_the_attempt_counted(connect, message, peer):
    driver = await connect()
    await driver.enqueue(message())
    worker = peer("hold")
    assert await lines(worker, 1) == ["holding 1"]
    worker.kill()
    killed = time.monotonic()
    [delivery] = await driver.receive("q", limit=1, wait=SOON)
    assert delivery.attempt == 2
    assert time.monotonic() - killed > 0.5


async def test_a_stopped_worker_that_wakes_up_too_late_is_refused(connect, message):
    slow, quick = await connect(lease="100ms"), await connect(lease="10s")
    await slow.enqueue(message())
    [stale] = await slow.receive("q", limit=1, wait=SOON)
    [held] = await quick.receive("q", limit=1, wait=SOON)
    with pytest.raises(LeaseLostError):
        await slow.ack(stale)
    await quick.ack(held)


async def test_four_saturated_processes_all_make_progress(peer):
    seconds = 4
    roles = ["producer", "producer", "consumer", "consumer"]
    processes = [peer("saturate", role, seconds) for role in roles]
    results = await asyncio.gather(*(lines(process, 1) for process in processes))
    for role, [line] in zip(roles, results, strict=True):
        done, longest = line.split()
        assert int(done) > 5 * seconds, f"a {role} starved: {results}"
        assert float(longest) < seconds, f"a {role} waited: {results}"
    assert [process.wait(10) for process in processes] == [0] * 4


async def test_fifty_racers_in_four_processes_for_one_key_have_one_winner(connect, peer):
    await connect()
    processes = [peer("race", 13, wait_for="ready") for _ in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = await asyncio.gather(*(lines(process, 1) for process in processes))
    assert sorted(int(line) for [line] in results) == [0, 0, 0, 1]


async def test_every_verb_ends_in_time_while_a_stopped_process_holds_the_gate_and_works_again_afterwards(
    connect, peer, message
):
    driver = await connect(timeout="300ms")
    await driver.enqueue_batch([(message(), None) for _ in range(2)])
    [delivery] = await driver.receive("q", limit=1, wait=NOW)
    holder = peer("hold_gate", wait_for="holding")
    holder.send_signal(signal.SIGSTOP)

    start = time.monotonic()
    with pytest.raises(EnqueueUnavailableError, match="Nothing was stored") as caught:
        await driver.enqueue(message("refused"))
    assert time.monotonic() - start > 0.25
    assert "hold" in str(caught.value) and "-gate" in str(caught.value)
    outcomes = await asyncio.gather(
        driver.ack(delivery),
        driver.extend(delivery),
        driver.receive("q", limit=1, wait=SOON),
        driver.state_put("k", b"", expect=None),
        driver.purge("q"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [BrokerUnavailableError] * 5
    [outcome] = await driver.enqueue_batch([(message("refused too"), None)])
    assert isinstance(outcome, EnqueueUnavailableError)
    assert (await driver.stats("q")).ready == 1, "reading needs no gate"

    holder.send_signal(signal.SIGCONT)
    holder.kill()
    await driver.ack(delivery)
    await driver.enqueue(message("accepted"))
    got = await driver.receive("q", limit=10, wait=NOW)
    assert [each.message.id for each in got] == ["2", "accepted"], "what was refused never came"


async def test_opening_and_closing_end_in_time_while_a_stopped_process_holds_the_gate(connect, peer):
    driver = await connect(timeout="200ms")
    holder = peer("hold_gate", wait_for="holding")
    holder.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    late = SqliteDriver(driver.path, timeout="200ms")
    with pytest.raises(BrokerUnavailableError, match="cannot open"):
        await late.open()
    await driver.close()
    await late.close()
    assert time.monotonic() - start < 15
    holder.kill()
    for thread in [each for each in threading.enumerate() if each.name.startswith("waybill-sqlite")]:
        await asyncio.to_thread(thread.join, 20)  # it does the rest now that the gate is free
        assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_fork_is_refused_and_does_no_harm(connect, message, path):
    driver = await connect()
    await driver.enqueue(message())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            driver.enqueue(message("from the fork")).send(None)
        except ConfigurationError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        assert "Open a new driver after the fork" in pipe.read()
    await driver.enqueue(message())
    assert len(await driver.receive("q", limit=10, wait=NOW)) == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_child_does_not_keep_the_gate_of_a_killed_parent(connect, peer):
    driver = await connect(timeout="1s")
    script = (
        "import os, time\n"
        "from waybill_sqlite.gate import Gate\n"
        f"gate = Gate({driver.path + '-gate'!r})\n"
        "gate.acquire()\n"
        "if os.fork() == 0:\n"
        "    os.close(1); time.sleep(20); os._exit(0)\n"
        "print('forked', flush=True); time.sleep(20)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    with parent:
        assert parent.stdout.readline().strip() == "forked"
        parent.kill()
    try:
        assert await driver.state_put("k", b"", expect=None) is not None
    finally:
        os.killpg(parent.pid, signal.SIGKILL)

"""Delayed messages where the server keeps no schedules: nothing holds up what is due."""

import asyncio
import time
from datetime import timedelta

import pytest

from .conftest import client

LONG = 30
"""Seconds after which it hangs."""


async def test_there_is_always_a_pull_that_waits_for_what_falls_due(connect, shared, message, namespace):
    """NATS 2.9 forgets for a while what falls due at the moment when all pulls that wait have just ended.

    Pulls are brief there, six in three seconds at least, and each end is such a moment if the next begins after it.
    """
    driver = await connect()
    receiving = asyncio.create_task(driver.receive("q", limit=1, wait=timedelta(seconds=60)))
    waiting, gaps, since = False, 0, 0.0
    async with client(shared.url) as (_, api):
        end = time.monotonic() + 3
        while time.monotonic() < end or not since:
            info = await api(f"CONSUMER.INFO.{namespace}_q.later")
            now = bool(info.get("num_waiting"))
            gaps += waiting and not now
            waiting = now
            since = since or now
    await driver.enqueue(message())
    assert await receiving
    assert gaps <= 2, "only a loop that stood still may come too late"


@pytest.mark.parametrize("version", ["2.9", "2.10"])
async def test_jobs_fall_due_while_others_are_delayed_all_the_time(
    connect, shared, middle, message, namespace, version
):
    """A consumer that is told "later" looks 10 ms after that what is due, and begins these 10 ms anew each time.

    So it must have its rest from being told: two thirds of the time are plenty, and what it gets is nine tenths.
    """
    server = {"2.9": shared, "2.10": middle}[version]
    driver, receiver = await connect(server.url, priorities=1), await connect(server.url, priorities=1)
    sent, came, told, end = 0, 0, set(), time.monotonic() + LONG
    start = asyncio.get_running_loop().time()

    async def send():
        nonlocal sent
        while came < 2000 or came < sent / 2:
            assert time.monotonic() < end, f"of {sent} jobs {came} fell due while they were sent"
            await driver.enqueue_in(message(), timedelta(seconds=0.2))
            sent += 1

    async def hear(heard):
        if heard.data.startswith(b"-NAK {"):
            told.add(ten_milliseconds())

    def ten_milliseconds():
        return int(100 * (asyncio.get_running_loop().time() - start))

    async with client(server.url) as (connection, _):
        await connection.subscribe(f"$JS.ACK.{namespace}_q.later.>", cb=hear)
        sending = asyncio.gather(*(send() for _ in range(4)))
        while not sending.done():
            got = await receiver.receive("q", limit=100, wait=timedelta(seconds=1))
            came += len(got)
            await receiver.ack_batch(got)
        await sending
    assert len(told) < ten_milliseconds() / 3

"""A task cancelled inside a verb loses nothing, at whatever step."""

import asyncio
from datetime import timedelta

import pytest

from .conftest import NOW, SOON, ids


async def steps(count):
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("count", range(25))
async def test_a_receive_cancelled_at_any_step_gives_back_at_once_and_spends_no_attempt(driver, message, count):
    await driver.enqueue(message("a"))
    task = asyncio.create_task(driver.receive("q", limit=1, wait=SOON))
    await steps(count * 2)
    task.cancel()
    got = await asyncio.gather(task, return_exceptions=True)
    if isinstance(got[0], list):
        await driver.release(got[0][0])
    (delivery,) = await asyncio.wait_for(driver.receive("q", limit=1, wait=SOON), 5)
    assert (delivery.message.id, delivery.attempt) == ("a", 1)


@pytest.mark.parametrize("milliseconds", [0, 0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2, 5])
async def test_a_waiting_receive_cancelled_as_a_job_comes_loses_nothing(driver, connect, message, milliseconds):
    other = await connect(look="60s")
    for number in range(5):
        task = asyncio.create_task(driver.receive("q", limit=1, wait=SOON))
        idle = asyncio.create_task(other.receive("q", limit=1, wait=SOON))
        await asyncio.sleep(0.01)
        await driver.enqueue(message(str(number)))
        await asyncio.sleep(milliseconds / 1000)
        task.cancel()
        (got,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(got, list):
            await driver.ack(got[0])
            idle.cancel()
            await asyncio.gather(idle, return_exceptions=True)
        else:
            (delivery,) = await asyncio.wait_for(idle, 5)
            assert (delivery.message.id, delivery.attempt) == (str(number), 1)
            await other.ack(delivery)
        for leftover in await driver.receive("q", limit=5, wait=NOW):
            raise AssertionError(leftover)


async def test_answers_are_not_mixed_up_by_cancelled_calls(driver, message):
    for number in range(200):
        task = asyncio.create_task(driver.stats("q") if number % 2 else driver.enqueue(message(f"x{number}")))
        await steps(number % 7)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await driver.state_get("nothing") is None
        assert await driver.enqueue(message(f"y{number}")) == f"y{number}"
    taken = ids(await driver.receive("q", limit=1000, wait=NOW))
    assert len(taken) == len(set(taken)) >= 200


async def test_cancelled_settling_has_happened_or_not(driver, message):
    for count in range(12):
        await driver.enqueue(message(f"a{count}"))
        (delivery,) = await driver.receive("q", limit=1, wait=timedelta())
        task = asyncio.create_task(driver.ack(delivery))
        await steps(count)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if (await driver.stats("q")).leased:
            await driver.ack(delivery)
        assert await driver.stats("q") == await driver.stats("empty")

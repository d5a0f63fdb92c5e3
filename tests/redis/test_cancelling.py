"""A task cancelled inside a verb loses nothing, at whatever step."""

import asyncio
from datetime import timedelta

import pytest

from waybill.envelope import UniqueKey
from waybill.errors import DriverClosedError, DuplicateJobError

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


async def test_a_cancelled_receive_takes_nothing_once_another_call_was_answered(connect, redis, message):
    driver = await connect(look="60s")
    await driver.receive("q", limit=1, wait=timedelta(milliseconds=1))  # the server knows its scripts
    once = {"unique": UniqueKey("k", "start")}
    for number in range(20):
        task = asyncio.create_task(driver.receive("q", limit=10, wait=SOON))
        while not (await redis.info("clients"))["blocked_clients"]:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await driver.stats("q")
        await driver.enqueue(message(str(number), **once))
        with pytest.raises(DuplicateJobError):  # nobody has received it, not even to give it back
            await driver.enqueue(message("other", **once))
        (delivery,) = await driver.receive("q", limit=10, wait=NOW)
        assert (delivery.message.id, delivery.attempt) == (str(number), 1)
        await driver.ack(delivery)


async def test_the_next_receive_waits_while_a_cancelled_one_is_called_off(connect, message):
    driver = await connect(look="60s")
    for number in range(50):
        task = asyncio.create_task(driver.receive("q", limit=5, wait=SOON))
        await asyncio.sleep(0.002 * (number % 3))
        task.cancel()
        waiting = asyncio.create_task(driver.receive("q", limit=1, wait=SOON))
        await steps(number % 5)
        await driver.enqueue_batch([(message(f"{number}-{each}"), None) for each in range(2)])
        (first,) = await asyncio.wait_for(waiting, 5)
        (second,) = await asyncio.wait_for(driver.receive("q", limit=5, wait=SOON), 5)
        assert ids([first, second]) == [f"{number}-0", f"{number}-1"] and {first.attempt, second.attempt} == {1}
        await driver.ack_batch([first, second])


async def test_a_driver_closed_while_it_waits_takes_nothing_along(connect, message):
    other = await connect()
    for number in range(10):
        driver = await connect(look="60s", lease="60s")
        tasks = [asyncio.create_task(driver.receive("q", limit=5, wait=SOON)) for _ in range(2)]
        await asyncio.sleep(0.01)
        sending = asyncio.create_task(other.enqueue(message(str(number))))
        await steps(number % 5)
        await driver.close()
        await sending
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        came = [each for each in outcomes if not isinstance(each, DriverClosedError)]
        if not came:  # else it came in time
            (delivery,) = await asyncio.wait_for(other.receive("q", limit=5, wait=SOON), 5)
            assert (delivery.message.id, delivery.attempt) == (str(number), 1)
            await other.ack(delivery)


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

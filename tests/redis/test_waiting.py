"""Waiting receivers are woken at once, by one token that they pass on, and by the clock."""

import asyncio
import time
from datetime import timedelta

from .conftest import NOW, SOON, ids, passed

QUICK = 10.0  # seconds: on a busy machine, and well before a receiver looks by itself
LONG = timedelta(seconds=50)


def waits(driver, limit=1, queues="q", wait=LONG):
    return asyncio.create_task(driver.receive_many(list(queues), limit=limit, wait=wait))


async def test_a_waiting_receiver_is_woken_by_another_connection(connect, message):
    driver, other = await connect(look="60s"), await connect()
    for _ in range(20):
        waiting = waits(driver)
        await passed(0.005)
        start = time.monotonic()
        await other.enqueue(message())
        (delivery,) = await waiting
        assert time.monotonic() - start < QUICK
        await driver.ack(delivery)


async def test_three_idle_receivers_share_a_batch_of_30(connect, message):
    drivers = [await connect(look="60s") for _ in range(3)]
    tasks = [waits(each, 10) for each in drivers]
    await passed(0.1)
    await drivers[0].enqueue_batch([(message(), None) for _ in range(30)])
    start = time.monotonic()
    assert [len(each) for each in await asyncio.gather(*tasks)] == [10, 10, 10]
    assert time.monotonic() - start < QUICK


async def test_receivers_of_one_driver_share_as_well(driver, message):
    tasks = [waits(driver, 10) for _ in range(3)]
    await passed(0.1)
    await driver.enqueue_batch([(message(), None) for _ in range(30)])
    assert [len(each) for each in await asyncio.gather(*tasks)] == [10, 10, 10]


async def test_each_receiver_of_one_driver_gets_as_many_as_it_asked_for(driver, message):
    tasks = [waits(driver, limit) for limit in (1, 5, 10)]
    await passed(0.1)
    await driver.enqueue_batch([(message(), None) for _ in range(30)])
    assert [len(each) for each in await asyncio.gather(*tasks)] == [1, 5, 10]


async def test_one_that_waits_behind_another_ends_in_its_time(connect):
    driver = await connect(look="60s")
    first = waits(driver)
    await passed(0.02)
    start = time.monotonic()
    assert await driver.receive("q", limit=1, wait=timedelta(milliseconds=100)) == []
    assert 0.1 <= time.monotonic() - start < 0.1 + QUICK
    await cancel([first])


async def test_an_earlier_delayed_job_is_on_time_while_all_sleep_on_a_later_one(connect, message):
    drivers = [await connect(look="60s") for _ in range(3)]
    await drivers[0].enqueue_in(message("later"), timedelta(seconds=50))
    tasks = [waits(each) for each in drivers]
    await passed(0.05)
    start = time.time()
    await drivers[0].enqueue_in(message("earlier"), timedelta(milliseconds=100))
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    late = time.time() - start - 0.1
    assert ids(done.pop().result()) == ["earlier"]
    assert 0 <= late < QUICK
    await cancel(pending)


async def test_the_clock_is_watched_by_another_once_the_first_is_busy(connect, message):
    drivers = [await connect(look="60s") for _ in range(2)]
    tasks = [waits(drivers[0])]
    await passed(0.05)
    tasks.append(waits(drivers[1]))
    await passed(0.05)
    await drivers[0].enqueue_in(message("delayed"), timedelta(milliseconds=200))  # wakes the first, which watches
    await passed(0.05)
    await drivers[0].enqueue(message("now"))  # wakes whoever is at the head of the line
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert ids(done.pop().result()) == ["now"]
    assert ids(await asyncio.wait_for(pending.pop(), 5)) == ["delayed"]


async def test_one_that_leaves_passes_the_watch_on(connect, message):
    drivers = [await connect(look="60s") for _ in range(2)]
    first = waits(drivers[0])
    await passed(0.05)
    second = waits(drivers[1])
    await passed(0.05)
    await drivers[1].enqueue_in(message("delayed"), timedelta(milliseconds=200))
    await passed(0.05)
    await cancel([first])
    assert ids(await asyncio.wait_for(second, 5)) == ["delayed"]


async def test_a_lease_that_ends_wakes_a_waiting_receiver_without_any_reaper(connect, message):
    driver = await connect(lease="150ms", look="60s")
    await driver.enqueue(message())
    start = time.monotonic()
    (first,) = await driver.receive("q", limit=1, wait=NOW)
    (second,) = await driver.receive("q", limit=1, wait=LONG)
    assert 0.15 <= time.monotonic() - start < 0.15 + QUICK
    assert (first.attempt, second.attempt) == (1, 2)


async def test_no_delayed_job_is_early_and_none_is_late(connect, message):
    driver = await connect(look="60s")
    for number in range(20):
        waiting = waits(driver)
        start = time.time()
        await driver.enqueue_in(message(), timedelta(milliseconds=5 + number))
        (delivery,) = await waiting
        late = time.time() - start - (5 + number) / 1000
        assert -0.0001 < late < QUICK
        await driver.ack(delivery)


async def test_the_clock_of_this_machine_does_not_matter_for_a_delay(driver, message, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    await driver.enqueue_in(message("a"), timedelta(milliseconds=500))
    assert await driver.receive("q", limit=1, wait=NOW) == []
    assert ids(await driver.receive("q", limit=1, wait=SOON)) == ["a"]


async def test_a_wait_ends_in_its_time(connect):
    driver = await connect(look="60s")
    start = time.monotonic()
    assert await driver.receive("q", limit=1, wait=timedelta(milliseconds=50)) == []
    assert 0.05 <= time.monotonic() - start < QUICK


async def test_a_receiver_of_several_queues_is_woken_by_each(connect, message):
    driver = await connect(look="60s")
    for queue in "abc":
        waiting = waits(driver, queues="abc")
        await passed(0.02)
        await driver.enqueue(message(queue=queue))
        assert [each.message.queue for each in await asyncio.wait_for(waiting, 5)] == [queue]


async def test_a_job_given_back_wakes_and_the_next_of_a_group_too(connect, message):
    driver, other = await connect(look="60s"), await connect(look="60s")
    await driver.enqueue_batch([(message("1", group="g"), None), (message("2", group="g"), None)])
    (first,) = await other.receive("q", limit=5, wait=NOW)
    waiting = waits(driver)
    await passed(0.02)
    await other.nack(first)
    (again,) = await asyncio.wait_for(waiting, 5)
    assert (again.message.id, again.attempt) == ("1", 2)
    waiting = waits(other)
    await passed(0.02)
    await driver.ack(again)
    assert ids(await asyncio.wait_for(waiting, 5)) == ["2"]


async def test_a_token_whose_receiver_died_delays_only_until_the_next_look(connect, redis, prefix, message):
    driver = await connect(look="100ms")
    waiting = waits(driver)
    await passed(0.02)
    pipeline = redis.pipeline()  # a job without a token: as if its token had been taken by one that died
    pipeline.hset(f"{prefix}:{{q}}:jobs", "a", b"={}")
    pipeline.zadd(f"{prefix}:{{q}}:ready", {"a": 1})
    await pipeline.execute()
    assert ids(await asyncio.wait_for(waiting, 5)) == ["a"]


async def test_a_receiver_is_woken_although_the_server_has_forgotten_its_scripts(driver, redis, message):
    for number in range(5):
        waiting = waits(driver)
        await passed(0.02)
        await redis.script_flush()
        await driver.enqueue(message(str(number)))
        assert ids(await asyncio.wait_for(waiting, 5)) == [str(number)]


async def test_a_wait_ends_in_its_time_though_nothing_can_end_it_but_the_server(connect, message):
    driver = await connect(look="60s")
    await driver.enqueue_in(message("a"), timedelta(milliseconds=200))
    waiting, start = waits(driver), time.monotonic()
    await passed(0.05)
    driver._space._link.end(ConnectionError("cut"))  # the way that nudges go
    assert ids(await asyncio.wait_for(waiting, 5)) == ["a"]
    assert time.monotonic() - start < 0.2 + QUICK


async def test_a_connection_that_nobody_waits_on_is_closed(connect):
    driver = await connect(look="50ms")
    assert await driver.receive("q", limit=1, wait=timedelta(milliseconds=20)) == []
    link = driver._receiving._bells["q",]._link
    end = time.monotonic() + 5
    while not link.ended:
        assert time.monotonic() < end
        await passed(0.02)
    assert await driver.receive("q", limit=1, wait=timedelta(milliseconds=20)) == []


async def test_idle_waiting_costs_next_to_nothing(driver, redis):
    waiting = waits(driver)
    await passed(0.1)
    before, start = (await redis.info("stats"))["total_commands_processed"], time.process_time()
    await passed(1)
    after = (await redis.info("stats"))["total_commands_processed"]
    assert after - before < 60  # a look has some 20 commands inside
    assert time.process_time() - start < 0.1
    await cancel([waiting])


async def cancel(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""A server that restarts, stands still, hangs up, forgets its scripts, or is full."""

import asyncio
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from waybill.errors import (
    BrokerUnavailableError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
    LeaseLostError,
)
from waybill_redis import RedisDriver

from .conftest import NOW, SOON, ids, passed, port_of


async def until_it_works(call):
    end = time.monotonic() + 10
    while True:
        try:
            return await call()
        except BrokerUnavailableError:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)


async def test_what_was_confirmed_survives_a_kill_of_the_server(server, connect, message):
    driver = await connect(server.direct_url, lease="30s")
    await driver.enqueue_batch([(message(), None) for _ in range(500)])
    held = await driver.receive("q", limit=10, wait=NOW)
    await driver.ack(held[0])
    await asyncio.to_thread(server.kill)
    with pytest.raises((EnqueueUnavailableError, EnqueueUnknownError)):  # as the end is noticed before or after it left
        await driver.enqueue(message("refused"))
    with pytest.raises(EnqueueUnavailableError):
        await driver.enqueue(message("refused"))
    with pytest.raises(BrokerUnavailableError) as error:
        await driver.ack(held[1])
    assert error.value.__cause__ is not None
    await asyncio.to_thread(server.revive)
    await until_it_works(lambda: driver.stats("q"))  # the next call connects again
    assert await driver.ack_batch(held[1:]) == [None] * 9
    assert len(await driver.receive("q", limit=1000, wait=NOW)) == 490


async def test_a_waiting_receive_ends_with_the_connection_and_the_next_goes_on(server, connect, message):
    driver = await connect(server.direct_url)
    waiting = asyncio.create_task(driver.receive("q", limit=1, wait=SOON))
    await passed(0.1)
    await asyncio.to_thread(server.kill)
    with pytest.raises(BrokerUnavailableError):
        await asyncio.wait_for(waiting, 5)
    await asyncio.to_thread(server.revive)
    waiting = asyncio.create_task(until_it_works(lambda: driver.receive("q", limit=1, wait=SOON)))
    await until_it_works(lambda: driver.enqueue(message("a")))
    assert ids(await asyncio.wait_for(waiting, 3)) == ["a"]


async def test_every_call_ends_in_its_time_while_the_server_stands_still(server, connect, message):
    driver = await connect(server.direct_url, timeout="300ms")
    await driver.enqueue(message("a"))
    (delivery,) = await driver.receive("q", limit=1, wait=NOW)
    server.pause()
    with pytest.raises(EnqueueUnknownError) as error:
        await driver.enqueue(message("b"))
    assert error.value.job_id == "b"
    for call in (driver.ack(delivery), driver.stats("q"), driver.receive("q", limit=1, wait=timedelta(seconds=0.1))):
        with pytest.raises(BrokerUnavailableError):
            await call
    server.resume()
    await until_it_works(lambda: driver.enqueue(message("b")))
    assert (await driver.stats("q")).ready == 1


async def test_a_waiting_receive_notices_that_the_server_stands_still(server, connect):
    driver = await connect(server.direct_url, timeout="300ms", look="200ms")
    waiting = asyncio.create_task(driver.receive("q", limit=1, wait=timedelta(seconds=30)))
    await passed(0.1)
    server.pause()
    with pytest.raises(BrokerUnavailableError):
        await asyncio.wait_for(waiting, 5)
    server.resume()


async def test_a_look_whose_receiver_has_given_up_takes_nothing(server, connect, message):
    driver = await connect(server.direct_url, timeout="300ms", look="200ms", lease="60s")
    other = await connect(server.direct_url)
    waiting = asyncio.create_task(driver.receive("q", limit=1, wait=timedelta(seconds=30)))
    await passed(0.1)
    sending = asyncio.create_task(other.enqueue(message("a")))
    server.pause()
    with pytest.raises(BrokerUnavailableError):
        await asyncio.wait_for(waiting, 5)
    server.resume()
    await sending
    (delivery,) = await other.receive("q", limit=1, wait=SOON)
    assert (delivery.message.id, delivery.attempt) == ("a", 1)


async def test_closing_ends_in_time_while_the_server_stands_still(server, connect):
    driver = await connect(server.direct_url, timeout="300ms")
    server.pause()
    await asyncio.wait_for(driver.close(), 10)
    server.resume()


async def test_scripts_that_the_server_forgot_are_sent_again(driver, connect, redis, message, take):
    for number in range(20):
        await redis.script_flush()
        await driver.enqueue(message(str(number)))
        await redis.script_flush()
        (delivery,) = await take()
        await redis.script_flush()
        await driver.ack(delivery)


async def test_a_cut_connection_fails_what_is_under_way_and_a_call_after_that_connects(driver, redis, message):
    waiting = asyncio.create_task(driver.receive("q", limit=1, wait=SOON))
    await passed(0.1)
    await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(BrokerUnavailableError):
        await asyncio.wait_for(waiting, 5)
    # That the other connection has ended is read a moment later, perhaps.
    assert await until_it_works_sending(driver, message("a")) == "a"
    assert ids(await driver.receive("q", limit=1, wait=SOON)) == ["a"]


async def until_it_works_sending(driver, one):
    while True:
        try:
            return await driver.enqueue(one)
        except (EnqueueUnknownError, EnqueueUnavailableError):
            await asyncio.sleep(0)


async def test_jobs_received_over_a_connection_that_was_cut_come_back(connect, redis, message):
    driver = await connect(lease="100ms")
    await driver.enqueue(message("a"))
    await driver.receive("q", limit=1, wait=NOW)
    await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await passed(0.02)
    (delivery,) = await until_it_works(lambda: driver.receive("q", limit=1, wait=SOON))
    assert (delivery.message.id, delivery.attempt) == ("a", 2)


async def test_a_repeat_of_an_ack_that_had_arrived_is_a_lost_lease(driver, connect, message, take):
    await driver.enqueue(message())
    (delivery,) = await take()
    await (await connect()).ack(delivery)  # the first, whose answer was lost
    with pytest.raises(LeaseLostError):
        await driver.ack(delivery)


async def test_a_full_server_takes_no_jobs_and_lets_workers_drain(serve, connect, message):
    server = await serve("--maxmemory", "100mb", "--maxmemory-policy", "noeviction")
    driver = await connect(server.direct_url)
    await driver.enqueue_batch([(message(group=f"g{n % 5}", body=b"x" * 100), None) for n in range(50)])
    await driver.enqueue_batch([(message(), timedelta(milliseconds=1)) for _ in range(50)])
    async with Redis.from_url(server.direct_url) as redis:
        await redis.config_set("maxmemory", 1)
        with pytest.raises(EnqueueRejectedError, match="maxmemory") as error:
            await driver.enqueue(message("refused"))
        assert error.value.__cause__ is not None and "Nothing was stored" in str(error.value)
        assert all(
            isinstance(each, EnqueueRejectedError)
            for each in await driver.enqueue_batch([(message(), None), (message(), timedelta(1))])
        )
        done = 0
        while taken := await driver.receive("q", limit=20, wait=NOW):
            taken = await driver.extend_batch(taken)
            await driver.nack(taken[0])
            assert await driver.ack_batch(taken[1:]) == [None] * (len(taken) - 1)
            done += len(taken) - 1
            (again,) = await driver.receive("q", limit=1, wait=NOW)
            await driver.bury(again, reason())
            done += 1
        assert done == 100
        assert any(note.level == "warning" for note in await driver.diagnose())
        await redis.config_set("maxmemory", 0)
    assert await driver.retry_dead("q", None) > 0


async def test_a_worker_that_is_killed_gives_its_jobs_back_after_the_lease(connect, shared, prefix, message):
    driver = await connect()
    await driver.enqueue_batch([(message(), None) for _ in range(10)])
    script = f"""
import asyncio
from datetime import timedelta
from waybill_redis import RedisDriver
async def main():
    driver = RedisDriver({shared.direct_url!r}, prefix={prefix!r}, lease="300ms")
    await driver.open()
    print(len(await driver.receive("q", limit=10, wait=timedelta())), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert await asyncio.to_thread(process.stdout.readline) == "10\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    taken = []
    while len(taken) < 10:
        taken += await asyncio.wait_for(driver.receive("q", limit=10, wait=SOON), 3)
    assert {each.attempt for each in taken} == {2}


async def test_a_server_that_became_a_replica_is_unavailable_until_it_is_master_again(server, connect, message):
    driver = await connect(server.direct_url)
    await driver.enqueue(message("a"))
    async with Redis.from_url(server.direct_url) as redis:
        await redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(EnqueueUnavailableError, match="read-only replica"):
            await driver.enqueue(message("b"))
        with pytest.raises(BrokerUnavailableError):
            await RedisDriver(server.direct_url).open()
        await redis.execute_command("REPLICAOF", "NO", "ONE")
    await until_it_works(lambda: driver.enqueue(message("b")))
    assert ids(await driver.receive("q", limit=5, wait=NOW)) == ["a", "b"]


async def test_an_enqueue_waits_for_as_many_replicas_as_it_is_told(server, serve, connect, message):
    replica = await serve("--replicaof", "127.0.0.1", str(port_of(server)))
    driver = await connect(server.direct_url, wait_replicas=1, timeout="5s")
    await until_it_works_sending(driver, message("a"))
    assert driver.capabilities.durability == "replicated"
    async with Redis.from_url(replica.direct_url) as redis:
        assert await redis.hlen(driver._keys.of("q")[0]) == 1
    await asyncio.to_thread(replica.kill)
    hasty = await connect(server.direct_url, wait_replicas=1, timeout="400ms")
    with pytest.raises(EnqueueUnknownError, match="replicas"):
        await hasty.enqueue(message("b"))
    assert any(note.level == "error" for note in await hasty.diagnose())


def reason():
    from datetime import UTC, datetime

    from waybill.errors import DeadReason

    return DeadReason("permanent", "no", 1, datetime.now(UTC))

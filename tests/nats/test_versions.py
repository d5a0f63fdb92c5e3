"""What differs between servers of 2.9, 2.10 and the newest: who keeps delays, who can cancel, and faults to live with."""

import asyncio
import contextlib
import time
from datetime import timedelta

import pytest

from waybill.driver import Cancels
from waybill.errors import ConfigurationError, LeaseLostError

from .conftest import NOW, Process, client, everything, take


async def test_an_older_server_keeps_no_schedules_and_parks(connect, shared, middle, message, namespace):
    """It would store a message with a schedule as one that is due now."""
    for server in (shared, middle):
        driver = await connect(server.url)
        start = time.monotonic()
        await driver.enqueue_in(message("a"), timedelta(seconds=0.5))
        assert await take(driver, wait=NOW) == []
        assert set(await everything(driver, 1)) == {"a"}
        assert time.monotonic() - start >= 0.5
        native = await connect(server.url, scheduler="native")
        with pytest.raises(ConfigurationError, match=r"2\.12"):
            await native.enqueue_in(message(queue="other"), timedelta(seconds=1))


async def test_the_newest_server_keeps_schedules_itself(connect, modern, message, namespace):
    driver = await connect(modern.url)
    start = time.monotonic()
    await driver.enqueue_in(message("a"), timedelta(seconds=0.5))
    async with client(modern.url) as (_, api):
        info = await api(f"STREAM.INFO.{namespace}_q", subjects_filter=">")
    assert info["config"]["allow_msg_schedules"]
    assert [each.split(".")[2] for each in info["state"]["subjects"]] == ["timed"]
    assert set(await everything(driver, 1)) == {"a"}
    assert time.monotonic() - start >= 0.5


async def test_a_stream_with_schedules_has_no_limit_at_which_it_would_drop(connect, modern, message, namespace):
    """NATS refuses `discard new` where there are schedules, so limits and schedules are never together."""
    driver, limited = await connect(modern.url), await connect(modern.url, max_jobs=5)
    await driver.enqueue(message(queue="free"))
    await limited.enqueue(message(queue="limited"))
    async with client(modern.url) as (_, api):
        free = (await api(f"STREAM.INFO.{namespace}_free"))["config"]
        full = (await api(f"STREAM.INFO.{namespace}_limited"))["config"]
    assert (free["discard"], free["max_msgs"], free["max_bytes"], free["max_age"]) == ("old", -1, -1, 0)
    assert (full["discard"], full["max_msgs"]) == ("new", 5)
    assert not full.get("allow_msg_schedules")


async def test_what_was_parked_before_an_upgrade_comes_after_it(connect, program, newest, message):
    server = await asyncio.to_thread(Process, program)
    try:
        driver = await connect(server.url, timeout="3s")
        await driver.enqueue_in(message("old"), timedelta(seconds=1.5))
        server.kill()
        server.program = newest
        await asyncio.to_thread(server.start)
        driver = await connect(server.url)
        await driver.enqueue_in(message("new"), timedelta(seconds=1.5))
        assert set(await everything(driver, 2)) == {"old", "new"}
        await driver.close()
    finally:
        server.stop()


async def test_delays_survive_the_kill_of_the_server_and_are_not_early(connect, program, newest, message):
    """NATS redelivers what was given back for later a little early when it has been restarted."""
    for each in (program, newest):
        server = await asyncio.to_thread(Process, each)
        try:
            driver = await connect(server.url, timeout="3s")
            start = time.monotonic()
            await driver.enqueue_in(message("delayed"), timedelta(seconds=3))
            await driver.enqueue(message("nacked"))
            await driver.nack((await take(driver))[0], delay=timedelta(seconds=3))
            await take(driver, wait=timedelta(seconds=0.2))
            server.kill()
            await asyncio.to_thread(server.start)
            driver = await connect(server.url)
            came = {}
            while len(came) < 2 and time.monotonic() - start < 15:
                for got in await take(driver, wait=timedelta(seconds=1)):
                    came[got.message.id] = time.monotonic() - start
                    await driver.ack(got)
            assert set(came) == {"delayed", "nacked"}
            assert min(came.values()) >= 3
            await driver.close()
        finally:
            server.stop()


@pytest.mark.parametrize("version", ["2.10", "newest"])
async def test_a_server_that_is_killed_may_forget_an_attempt_and_never_invents_one(
    connect, middle, newest, message, version
):
    """A server writes ten times a second what it has delivered: the last of it is forgotten, and no job dies early."""
    server = await asyncio.to_thread(Process, {"2.10": middle.program, "newest": newest}[version])
    begun = {str(number): 0 for number in range(20)}
    try:
        driver = await connect(server.url, lease="1s", timeout="3s")
        await driver.enqueue_batch([(message(each), None) for each in begun])
        for _ in range(3):
            held, end = {}, time.monotonic() + 30
            while held.keys() != begun.keys() and time.monotonic() < end:
                for each in await take(driver, wait=timedelta(seconds=0.5)):
                    begun[each.message.id] += 1
                    assert 1 <= each.attempt <= begun[each.message.id]
                    held[each.message.id] = each
            assert held.keys() == begun.keys()
            for each in list(held.values())[::2]:
                with contextlib.suppress(LeaseLostError):
                    await driver.release(each)
                    begun[each.message.id] -= 1
            server.kill()
            await asyncio.to_thread(server.start)
            await driver.close()
            driver = await connect(server.url, lease="1s", timeout="3s")
        await driver.close()
    finally:
        server.stop()


async def test_only_a_server_that_can_pause_a_consumer_cancels(connect, shared, middle, modern):
    offered = [isinstance(await connect(each.url), Cancels) for each in (shared, middle, modern)]
    assert offered == [False, False, True]


async def test_a_cancel_never_takes_what_another_one_has_begun(connect, modern, message):
    driver, other = await connect(modern.url), await connect(modern.url)
    for _ in range(60):
        one = message()
        await driver.enqueue(one)
        cancelled, got = await asyncio.gather(driver.cancel("q", one.id), take(other, wait=NOW))
        got = got or await take(other, wait=NOW)
        assert cancelled != bool(got)
        await other.ack_batch(got)


@pytest.mark.parametrize("version", ["2.9", "2.10", "newest"])
async def test_pulls_of_a_driver_that_was_closed_take_nothing_along(connect, shared, middle, modern, message, version):
    """NATS 2.9 forgets what it was about to deliver again when only dead pulls wait: so none is left behind."""
    server = {"2.9": shared, "2.10": middle, "newest": modern}[version]
    driver, other = await connect(server.url, lease="60s"), await connect(server.url, lease="60s")
    await driver.enqueue_batch([(message(), None) for _ in range(3)])
    held = await take(driver)
    waiting = asyncio.create_task(other.receive("q", limit=1, wait=timedelta(seconds=20)))
    await asyncio.sleep(0.2)
    await other.close()
    await asyncio.wait([waiting])
    with contextlib.suppress(Exception):
        waiting.result()
    for each in held:
        await driver.release(each)
    fresh = await connect(server.url, lease="60s")
    got = [one for _ in range(3) for one in await take(fresh, wait=timedelta(seconds=0.3))]
    assert sorted(each.message.id for each in got) == sorted(each.message.id for each in held)
    assert {each.attempt for each in got} == {1}

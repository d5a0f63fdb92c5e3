"""Polls: what they cost, who gets what they bring, and what becomes of it when nobody is there any more."""

import asyncio
import time
from datetime import timedelta

import pytest

from waybill.errors import BrokerUnavailableError, DriverClosedError

NOW, SOON = timedelta(), timedelta(seconds=5)


async def waiting(driver, queue="q", limit=1, wait=SOON):
    """A receive that waits in a long poll."""
    await driver.queue_url(queue)
    task = asyncio.ensure_future(driver.receive(queue, limit=limit, wait=wait))
    await asyncio.sleep(0.15)
    return task


async def cancelled(task):
    task.cancel()
    await asyncio.wait([task])


async def test_what_a_cancelled_long_poll_still_brings_is_with_another_worker_at_once(connect, message, take):
    gone, other = await connect(poll="5s"), await connect()
    await cancelled(await waiting(gone))
    await other.enqueue(message("a"))
    start = time.monotonic()
    [delivery] = await take(by=other)
    assert time.monotonic() - start < 4  # the poll has longer to go, and the lease very much longer
    assert delivery.message.id == "a"


async def test_the_next_receive_takes_over_the_poll_of_a_cancelled_one(connect, faulty, message, ids):
    driver = await connect(faulty.url, poll="5s")
    for _ in range(5):
        await cancelled(await waiting(driver))
    again = await waiting(driver)
    await driver.enqueue(message("a"))
    [delivery] = await again
    assert (delivery.message.id, delivery.attempt) == ("a", 1)
    assert faulty.calls["ReceiveMessage"] == 1


async def test_an_idle_receiver_asks_once_for_each_poll(connect, faulty):
    driver = await connect(faulty.url, poll="2s")
    await driver.queue_url("q")
    cpu = time.process_time()
    assert await driver.receive("q", limit=100, wait=timedelta(seconds=4)) == []
    assert faulty.calls["ReceiveMessage"] == 2
    assert time.process_time() - cpu < 0.4  # the emulator's front in this process included


async def test_nothing_is_asked_while_nobody_receives(connect, faulty, message):
    driver = await connect(faulty.url)
    await driver.enqueue(message())
    before = sum(faulty.calls.values())
    await asyncio.sleep(1.5)
    assert sum(faulty.calls.values()) == before


async def test_a_receive_asks_for_more_only_while_answers_are_full(connect, faulty, message, take):
    driver = await connect(faulty.url)
    await driver.enqueue_batch([(message(), None) for _ in range(4)])
    assert len(await take(limit=100, by=driver)) == 4
    assert faulty.calls["ReceiveMessage"] == 1


async def test_closing_ends_waiting_receives_and_waits_no_longer_than_a_poll(connect):
    driver = await connect(poll="1s")
    task = await waiting(driver, wait=timedelta(seconds=30))
    start = time.monotonic()
    await driver.close()
    assert time.monotonic() - start < 15
    with pytest.raises(DriverClosedError):
        await task


async def test_closing_ends_within_its_timeout_whatever_the_poll(connect):
    driver = await connect(poll="7s", timeout="2s")
    task = await waiting(driver, wait=timedelta(seconds=30))
    start = time.monotonic()
    await driver.close()
    assert time.monotonic() - start < 6
    with pytest.raises(DriverClosedError):
        await task
    await asyncio.sleep(5.5)  # the poll's own time


async def test_what_arrives_while_a_driver_closes_goes_back_at_once(connect, message, take):
    closing, other = await connect(poll="3s"), await connect()
    task = await waiting(closing)
    close = asyncio.ensure_future(closing.close())
    await asyncio.sleep(0)
    await other.enqueue(message("a"))
    await close
    with pytest.raises(DriverClosedError):
        await task
    assert [each.message.id for each in await take(by=other)] == ["a"]


async def test_an_answer_for_a_loop_that_has_ended_is_given_back_by_its_thread(
    emulator, connect, message, take, prefix
):
    def receive_and_vanish():
        from waybill_sqs import SqsDriver

        async def begin():
            nonlocal vanished
            vanished = SqsDriver(f"{emulator.direct_url}&prefix={prefix}&poll=3s")
            await vanished.open()
            await cancelled(await waiting(vanished))

        vanished = None
        asyncio.run(begin())
        return vanished

    await asyncio.to_thread(receive_and_vanish)
    other = await connect()
    await other.enqueue(message("a"))
    assert [each.message.id for each in await take(by=other)] == ["a"]
    await asyncio.sleep(2)  # its poll's own time


async def test_a_worker_outlives_throttled_polls(connect, faulty, message, ids):
    driver = await connect(faulty.url)
    await driver.queue_url("q")
    for code in ("ThrottlingException", "OverLimit", "KmsThrottled"):
        faulty.fail("ReceiveMessage", code)
        with pytest.raises(BrokerUnavailableError):
            await driver.receive("q", limit=1, wait=SOON)
    await driver.enqueue(message("a"))
    assert ids(await driver.receive("q", limit=1, wait=SOON)) == ["a"]


async def test_of_a_fifo_queue_no_message_is_taken_that_could_not_run(connect, faulty, message, aws):
    """SQS gives several of one group at once; those behind the first would lose an attempt each time it fails."""
    driver = await connect(faulty.url, fifo=True)
    await driver.enqueue_batch([(message(str(n), group="a"), None) for n in range(3)])
    for attempt in (1, 2, 3):
        [delivery] = await driver.receive("q", limit=10, wait=SOON)
        assert (delivery.message.id, delivery.attempt) == ("0", attempt)
        await driver.nack(delivery)
    asked = [
        each["MaxNumberOfMessages"]
        for verb, each in faulty.asked
        if verb == "ReceiveMessage" and ".fifo" in each["QueueUrl"]
    ]
    assert set(asked) == {1}
    [first] = await driver.receive("q", limit=10, wait=SOON)
    await driver.ack(first)
    [second] = await driver.receive("q", limit=10, wait=SOON)
    assert (second.message.id, second.attempt) == ("1", 1)


async def test_more_urgent_messages_come_first_and_each_class_has_its_queue(connect, message, ids, aws, prefix):
    driver = await connect(priorities=3)
    for job_id, priority in (("low", 0), ("high", 2), ("middle", 1)):
        await driver.enqueue(message(job_id, priority=priority))
    assert ids(await driver.receive("q", limit=3, wait=SOON)) == ["high", "middle", "low"]
    names = {url.rpartition("/")[2] for url in aws.sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"]}
    assert {f"{prefix}-q", f"{prefix}-q-p1", f"{prefix}-q-p2", f"{prefix}-q-dead"} <= names

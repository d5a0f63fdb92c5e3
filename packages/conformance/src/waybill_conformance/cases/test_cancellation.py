"""A task may be cancelled anywhere: the driver goes on, and no message is lost."""

import asyncio
import contextlib
from datetime import timedelta

import pytest

from waybill.timing import ZERO

from ..bench import Bench, ids
from ..case import proves

LONG = timedelta(seconds=30)


async def cancelled_after(steps: int, task: asyncio.Task[object]) -> object:
    """What a task returned although it was cancelled after so many turns of the loop, or None."""
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return None


async def recovered(bench: Bench, queue: str) -> list[str]:
    """What can be received, at the latest when every lease that nobody knows of has ended."""
    if bench.virtual and bench.claims.lease is not None:
        await bench.pass_time(bench.lease)
    within = bench.soon + (bench.claims.lease or ZERO)
    return ids(await bench.receive(queue, within=within))


@proves("cancellation")
async def test_a_blocked_receive_that_is_cancelled_ends_and_the_driver_goes_on(bench: Bench) -> None:
    queue = bench.queue()
    waiting = await bench.begun(bench.driver.receive(queue, limit=1, wait=LONG))
    waiting.cancel()
    await asyncio.wait([waiting], timeout=1 * bench.harness.patience)
    assert waiting.done(), "a cancelled receive goes on"
    assert waiting.cancelled(), "a cancelled receive must raise CancelledError"
    [sent] = await bench.put(queue)
    assert ids(await bench.drain(queue, 1)) == [sent]


@proves("cancellation")
async def test_a_receive_cancelled_at_any_step_loses_nothing(bench: Bench) -> None:
    """Before the message was asked for, while it is on its way, and after it arrived."""
    for steps in range(26):
        queue = bench.queue()
        [sent] = await bench.put(queue)
        task = asyncio.ensure_future(bench.driver.receive(queue, limit=1, wait=LONG))
        got = await cancelled_after(steps, task)
        if not got:
            assert await recovered(bench, queue) == [sent], f"cancelled after {steps} steps, the message is lost"


@proves("cancellation")
async def test_a_waiting_receive_cancelled_while_a_message_arrives_loses_nothing(bench: Bench) -> None:
    for steps in range(26):
        queue = bench.queue()
        task = asyncio.ensure_future(bench.driver.receive(queue, limit=1, wait=LONG))
        await asyncio.sleep(0.002)
        message = bench.message(queue)
        sending = asyncio.ensure_future(bench.driver.enqueue(message))
        got = await cancelled_after(steps, task)
        await sending
        if not got:
            assert await recovered(bench, queue) == [message.id], f"cancelled after {steps} steps, the message is lost"


@proves("cancellation", "exact_attempts")
async def test_a_receive_that_was_cancelled_spends_no_attempt(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    for steps in range(12):
        task = asyncio.ensure_future(bench.driver.receive(queue, limit=1, wait=LONG))
        got = await cancelled_after(steps, task)
        if got:  # it had ended before it was cancelled
            delivery = got[0]  # type: ignore[index]
        else:
            delivery = await bench.take(queue, within=bench.soon)
        assert delivery.attempt == 1, f"cancelled after {steps} steps, the attempt is spent"
        await bench.driver.nack(delivery)
        await bench.driver.ack(await bench.take(queue))
        await bench.put(queue)


@proves("cancellation")
async def test_a_timeout_around_receive_loses_nothing(bench: Bench) -> None:
    queue, found = bench.queue(), list[str]()
    sent = await bench.put(queue, 20)
    end = bench.timer(bench.soon * 2)
    for round_ in range(400):
        if len(found) == len(sent) or end.left() <= ZERO:
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.001 * (round_ % 7)):
                for each in await bench.driver.receive(queue, limit=3, wait=LONG):
                    found.append(each.message.id)
                    await bench.driver.ack(each)
    # A round that ended while it acked has let go of what else it had received.
    if bench.claims.lease is None:
        await bench.driver.close()
        bench.driver = await bench.open()
    else:
        await bench.pass_time(bench.lease)
    rest = await bench.receive(queue, limit=20, within=timedelta(seconds=1)) if len(set(found)) < 20 else []
    assert {*found, *ids(rest)} == set(sent), "a timeout has lost messages"


@proves("cancellation")
async def test_receivers_that_are_cancelled_together_all_end(bench: Bench) -> None:
    queue = bench.queue()

    async def fail() -> None:
        await asyncio.sleep(0.05)
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(bench.soon.total_seconds()), asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(bench.driver.receive(queue, limit=1, wait=LONG))
            group.create_task(fail())
    [sent] = await bench.put(queue)
    assert ids(await bench.drain(queue, 1)) == [sent]


@proves("cancellation", "idempotent_enqueue")
async def test_an_enqueue_that_was_cancelled_may_be_repeated(bench: Bench) -> None:
    for steps in range(12):
        queue = bench.queue()
        message = bench.message(queue)
        await cancelled_after(steps, asyncio.ensure_future(bench.driver.enqueue(message)))
        await bench.driver.enqueue(message)
        assert ids(await bench.drain(queue, 1)) == [message.id]


@proves("cancellation")
async def test_an_ack_that_was_cancelled_has_happened_or_not(bench: Bench) -> None:
    for steps in range(12):
        queue = bench.queue()
        [sent] = await bench.put(queue)
        delivery = await bench.take(queue)
        await cancelled_after(steps, asyncio.ensure_future(bench.driver.ack(delivery)))
        with contextlib.suppress(Exception):
            await bench.driver.nack(delivery)
        left = await bench.receive(queue, limit=2, within=timedelta(seconds=0.2))
        assert ids(left) in ([], [sent])
        for each in left:
            await bench.driver.ack(each)


@proves("cancellation")
async def test_a_cancelled_call_does_not_answer_the_next_one(bench: Bench) -> None:
    """A connection on which an answer was left unread gives it to whoever asks next."""
    first, second = bench.queue(), bench.queue()
    for steps in range(12):
        await bench.put(first)
        task = asyncio.ensure_future(bench.driver.receive(first, limit=1, wait=ZERO))
        await cancelled_after(steps, task)
        [sent] = await bench.put(second)
        delivery = await bench.take(second)
        assert delivery.message.id == sent
        await bench.driver.ack(delivery)

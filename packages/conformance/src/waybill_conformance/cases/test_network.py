"""A network that is cut at any message, or slow: what a call tells is true, and nothing is lost.

A cut falls just before the k-th message that goes up to the broker or comes down from it, for every k that matters.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from waybill.driver import Message
from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EnqueueUnknownError,
    LeaseLostError,
    WaybillError,
)
from waybill.timing import ZERO

from ..bench import Bench, ids
from ..case import proves
from ..harness import Direction
from .test_cancellation import cancelled_after
from .test_recovery import again, collect

MESSAGES = 4  # a verb of one round trip, or of two, and of one that first makes the queue
DIRECTIONS: tuple[Direction, ...] = ("up", "down")
PLACES: list[tuple[Direction, int]] = [
    (direction, number) for direction in DIRECTIONS for number in range(1, MESSAGES + 1)
]
SLOW = timedelta(milliseconds=20)
LONG = timedelta(seconds=30)


@contextlib.asynccontextmanager
async def severed(bench: Bench, direction: Direction, number: int) -> AsyncIterator[None]:
    """Inside, the connection that brings that message dies."""
    await bench.harness.sever(number, direction)
    try:
        yield
    finally:
        await bench.harness.heal()


async def told(call: Any) -> Any:
    """What a call returned or raised."""
    try:
        return await call
    except WaybillError as error:
        return error


async def repeated(bench: Bench, verb: Any, *arguments: Any) -> WaybillError | None:
    """Settle over an interruption, as the core does; None, or that the delivery is no longer one's own."""
    outcome = await told(verb(*arguments))
    if isinstance(outcome, BrokerUnavailableError):
        outcome = await told(again(bench, verb, *arguments))
    assert outcome is None or isinstance(outcome, LeaseLostError), repr(outcome)
    return outcome


async def left_in(bench: Bench, queue: str, count: int) -> set[str]:
    """What can be received by a new driver once every lease has ended; *count* are expected."""
    if bench.claims.lease is not None:
        await bench.pass_time(bench.lease)
    bench.driver = await again(bench, bench.open)
    found = set(ids(await collect(bench, queue, count))) if count else set()
    return found | set(ids(await bench.receive(queue, limit=100, within=timedelta(seconds=0.3))))


@proves("recovery", power="network", seconds=180)
async def test_an_enqueue_that_is_cut_at_any_message_tells_what_became_of_it(bench: Bench) -> None:
    queue, accepted, unknown = bench.queue(), set[str](), set[str]()
    for place in PLACES:
        driver, message = await again(bench, bench.open), bench.message(queue)
        async with severed(bench, *place):
            outcome = await told(driver.enqueue(message))
        if isinstance(outcome, str):
            accepted.add(message.id)
        elif isinstance(outcome, EnqueueUnknownError):
            unknown.add(message.id)
        else:
            assert isinstance(outcome, BrokerUnavailableError), repr(outcome)
        await driver.close()
    found = await left_in(bench, queue, len(accepted))
    assert accepted <= found, "what was accepted is lost"
    assert found <= accepted | unknown, "a message is there that was said not to be stored"


@proves("recovery", "EnqueuesBatches", power="network", seconds=180)
async def test_a_batch_that_is_cut_at_any_message_tells_what_became_of_each(bench: Bench) -> None:
    queue, accepted, unknown = bench.queue(), set[str](), set[str]()
    for place in PLACES:
        driver, items = await again(bench, bench.open), [(bench.message(queue), None) for _ in range(3)]
        async with severed(bench, *place):
            whole = await told(driver.enqueue_batch(items))
        outcomes = whole if isinstance(whole, list | tuple) else [whole] * len(items)
        for (message, _), outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, str):
                accepted.add(message.id)
            elif isinstance(outcome, EnqueueUnknownError):
                unknown.add(message.id)
        await driver.close()
    found = await left_in(bench, queue, len(accepted))
    assert accepted <= found, "what was accepted is lost"
    assert found <= accepted | unknown, "a message is there that was said not to be stored"


@proves("recovery", "idempotent_enqueue", power="network", seconds=180)
async def test_an_enqueue_that_is_cut_at_any_message_and_repeated_is_stored_once(bench: Bench) -> None:
    queue, sent = bench.queue(), list[Message]()
    for place in PLACES:
        driver = await again(bench, bench.open)
        sent.append(bench.message(queue))
        async with severed(bench, *place):
            await told(driver.enqueue(sent[-1]))
        await again(bench, driver.enqueue, sent[-1])
        await driver.close()
    got = await collect(bench, queue, len(sent))
    assert sorted(ids(got)) == sorted(each.id for each in sent)
    assert not await again(bench, bench.driver.receive, queue, limit=100, wait=ZERO), "some were stored twice"


@proves("recovery", power="network", seconds=180)
async def test_a_receive_that_is_cut_at_any_message_loses_nothing(bench: Bench) -> None:
    queue, sent, got = bench.queue(), set[str](), set[str]()
    for place in PLACES:
        driver, message = await again(bench, bench.open), bench.message(queue)
        await again(bench, driver.enqueue, message)
        sent.add(message.id)
        async with severed(bench, *place):
            outcome = await told(driver.receive(queue, limit=100, wait=timedelta(seconds=0.2)))
        if not isinstance(outcome, WaybillError):
            for delivery in outcome:
                if await repeated(bench, driver.ack, delivery) is None:
                    got.add(delivery.message.id)
        await driver.close()
    assert await left_in(bench, queue, len(sent - got)) >= sent - got, "what was received by nobody is lost"


@proves("recovery", power="network", seconds=180)
async def test_an_ack_that_returned_has_happened_wherever_its_connection_is_cut(bench: Bench) -> None:
    queue, done = bench.queue(), set[str]()
    for place in PLACES:
        driver, message = await again(bench, bench.open), bench.message(queue)
        await again(bench, driver.enqueue, message)
        [delivery] = await bench.receive(queue, by=driver)
        async with severed(bench, *place):
            outcome = await told(driver.ack(delivery))
            # Where acks are not answered, it is the next answer on that connection that confirms them.
            await told(driver.receive(queue, limit=1, wait=ZERO))
        if outcome is None:
            done.add(delivery.message.id)
        else:
            assert isinstance(outcome, BrokerUnavailableError | LeaseLostError), repr(outcome)
            await repeated(bench, driver.ack, delivery)
        await driver.close()
    again_there = done & await left_in(bench, queue, 0)
    assert bench.claims.lease is None or not again_there, "an ack returned, and its message comes again"


@proves("recovery", power="network", seconds=180)
async def test_a_nack_that_is_cut_at_any_message_loses_nothing(bench: Bench) -> None:
    queue, sent = bench.queue(), set[str]()
    for place in PLACES:
        driver, message = await again(bench, bench.open), bench.message(queue)
        await again(bench, driver.enqueue, message)
        sent.add(message.id)
        held = await bench.receive(queue, limit=len(sent), by=driver, within=timedelta(seconds=0.3))
        async with severed(bench, *place):
            for delivery in held:
                await repeated(bench, driver.nack, delivery)
        await driver.close()
    assert await left_in(bench, queue, len(sent)) == sent


@proves("recovery", "Buries", "ReadsDeadLetters", power="network", seconds=180)
async def test_a_bury_that_is_cut_at_any_message_loses_nothing(bench: Bench) -> None:
    queue, sent = bench.queue(), set[str]()
    for place in PLACES:
        driver, message = await again(bench, bench.open), bench.message(queue)
        await again(bench, driver.enqueue, message)
        sent.add(message.id)
        [delivery] = await bench.receive(queue, by=driver)
        async with severed(bench, *place):
            await repeated(bench, driver.bury, delivery, bench.reason())
        await driver.close()
    found = await left_in(bench, queue, 0)
    page = await again(bench, bench.driver.list_dead, queue)
    assert found | {each.message.id for each in page.entries} == sent, "a message is neither waiting nor dead"


@proves("recovery", power="network", seconds=180)
async def test_opening_that_is_cut_at_any_message_works_or_tells_why_not(bench: Bench) -> None:
    for place in PLACES:
        async with severed(bench, *place):
            outcome = await told(bench.open())
        refused = isinstance(outcome, BrokerUnavailableError | ConfigurationError)
        assert refused or not isinstance(outcome, WaybillError), repr(outcome)
    queue = bench.queue()
    bench.driver = await again(bench, bench.open)
    [sent] = await bench.put(queue)
    assert ids(await bench.drain(queue, 1)) == [sent]


@proves("recovery", "cancellation", power="network", seconds=180)
async def test_a_receive_cancelled_while_its_answer_is_on_the_way_loses_nothing(bench: Bench) -> None:
    """The answer is still on the line when nobody waits for it: it must be given back, and answer no other call."""
    queue, other, got = bench.queue(), bench.queue(), set[str]()
    sent = set(await bench.put(queue, 12))
    await bench.harness.slow(SLOW)
    try:
        for number in range(12):
            task = asyncio.ensure_future(bench.driver.receive(queue, limit=1, wait=LONG))
            await asyncio.sleep(SLOW.total_seconds() * (0.5 + number / 4))  # leaving, there, and on its way back
            for delivery in await cancelled_after(0, task) or ():  # type: ignore[attr-defined]
                got.add(delivery.message.id)
                await bench.driver.ack(delivery)
            [mine] = await bench.put(other)
            delivery = await bench.take(other)
            assert delivery.message.id == mine, "the answer to a cancelled call was given to the next one"
            await bench.driver.ack(delivery)
    finally:
        await bench.harness.heal()
    assert got | await left_in(bench, queue, len(sent - got)) >= sent


@proves("recovery", power="network", seconds=180)
async def test_on_a_slow_network_everything_is_slow_and_nothing_is_doubled(bench: Bench) -> None:
    queue = bench.queue()
    await bench.harness.slow(SLOW * 2)
    try:
        sent = await bench.put(queue, 3)
        await asyncio.gather(*(bench.driver.enqueue(bench.message(queue, id=f"{sent[0]}-{n}")) for n in range(20)))
        got = await bench.receive(queue, limit=23)
        assert len(got) == 23
        await asyncio.gather(*map(bench.driver.ack, got))  # one by one they could outlast their leases
    finally:
        await bench.harness.heal()
    assert len(set(ids(got))) == 23
    await bench.nothing(queue)

"""What is more urgent goes first, always."""

import random
from datetime import timedelta

import pytest

from waybill import define_job
from waybill.errors import UnsupportedError

from ..bench import Bench
from ..case import proves, refuses
from .test_groups import for_later
from .test_worker import service_of

MOMENT = timedelta(seconds=0.3)


def levels(bench: Bench) -> list[int]:
    """All that are claimed, the most urgent first."""
    return list(range(bench.claims.priorities))[::-1]


async def in_turn(bench: Bench, queue: str, count: int) -> list[int]:
    """The priorities of this many messages, received and done one by one."""
    found = []
    for _ in range(count):
        delivery = await bench.take(queue)
        found.append(delivery.message.priority)
        await bench.driver.ack(delivery)
    return found


@proves("priorities")
async def test_every_level_goes_before_the_ones_below(bench: Bench) -> None:
    queue, wanted = bench.queue(), [each for each in levels(bench) for _ in range(2)]
    mixed = wanted[:]
    random.Random(7).shuffle(mixed)  # noqa: S311 - nothing secret
    for each in mixed:
        await bench.put(queue, priority=each)
    assert await in_turn(bench, queue, len(wanted)) == wanted
    bench.level(f"{bench.claims.priorities} levels")


@proves("priorities")
async def test_one_receive_takes_the_most_urgent_and_in_order(bench: Bench) -> None:
    queue, wanted = bench.queue(), levels(bench)
    for each in wanted[::-1]:
        await bench.put(queue, priority=each)
    half = await bench.receive(queue, limit=max(len(wanted) // 2, 1))
    assert [each.message.priority for each in half] == wanted[: len(half)]


@proves("priorities", "ordering")
async def test_equally_urgent_messages_come_in_the_order_sent(bench: Bench) -> None:
    queue, top = bench.queue(), levels(bench)[0]
    sent: dict[int, list[str]] = {top: [], 0: []}
    for _ in range(6):
        for priority, line in sent.items():
            line += await bench.put(queue, priority=priority)
    came: dict[int, list[str]] = {top: [], 0: []}
    for _ in range(12):
        delivery = await bench.take(queue)
        came[delivery.message.priority].append(delivery.message.id)
        await bench.driver.ack(delivery)
    assert came == sent


@proves("priorities", "EnqueuesBatches")
async def test_each_message_of_a_batch_has_its_own_priority(bench: Bench) -> None:
    queue, wanted = bench.queue(), levels(bench)
    await bench.driver.enqueue_batch([(bench.message(queue, priority=each), None) for each in wanted[::-1]])
    assert await in_turn(bench, queue, len(wanted)) == wanted


@proves("priorities")
async def test_an_urgent_message_that_comes_later_goes_before_what_waits(bench: Bench) -> None:
    """A pushing driver may hold as many as were asked for at most, which is one."""
    queue, top = bench.queue(), levels(bench)[0]
    await bench.put(queue, 6)
    await bench.driver.ack(await bench.take(queue))
    await bench.put(queue, priority=top)
    assert top in await in_turn(bench, queue, 2)


@proves("priorities")
async def test_a_delayed_urgent_message_goes_first_once_it_is_due(bench: Bench) -> None:
    queue, top = bench.queue(), levels(bench)[0]
    await bench.driver.enqueue_in(bench.message(queue, priority=top), MOMENT)
    await bench.put(queue, 3)
    await bench.pass_time(MOMENT * 2 + bench.claims.delay_resolution)
    assert await in_turn(bench, queue, 4) == [top, 0, 0, 0]


@proves("priorities")
async def test_a_message_given_back_keeps_its_priority(bench: Bench) -> None:
    queue, (top, *rest) = bench.queue(), levels(bench)
    for each in (*rest, top):
        await bench.put(queue, priority=each)
    await bench.driver.nack(await bench.take(queue))
    assert await in_turn(bench, queue, 1 + len(rest)) == [top, *rest]


@proves("priorities")
async def test_a_message_given_back_for_later_keeps_its_priority(bench: Bench) -> None:
    queue, top = bench.queue(), levels(bench)[0]
    await bench.put(queue, priority=top)
    delay = for_later(bench, MOMENT)
    await bench.driver.nack(await bench.take(queue), delay=delay)
    await bench.put(queue, 3)
    await bench.pass_time(delay + MOMENT + bench.claims.delay_resolution)
    assert top in await in_turn(bench, queue, 2)


@refuses("priorities")
async def test_a_priority_is_refused_where_there_is_none(bench: Bench) -> None:
    queue = bench.queue()
    job = define_job(name="send", handler=lambda: None, queue=queue)
    async with service_of(bench, job) as service:
        with pytest.raises(UnsupportedError):
            await service.enqueue(job, priority=5)
        assert not bench.asked, "the broker was asked"
    bench.driver = await bench.open()
    await bench.nothing(queue)

"""Many at once: whatever races, each message has one holder and one end."""

import asyncio
from datetime import timedelta
from typing import Any

from waybill.errors import LeaseLostError
from waybill.timing import ZERO

from ..bench import TICK, Bench, ids
from ..case import proves


async def consume(bench: Bench, queue: str, found: list[str], total: int, by: Any = None) -> None:
    """Receive and ack until *total* messages have been found by all consumers together."""
    driver = by or bench.driver
    end = bench.timer(bench.soon * 4)
    while len(found) < total and end.left() > ZERO:
        got = await driver.receive(queue, limit=7, wait=ZERO if bench.virtual else TICK * 4)
        for each in got:
            try:
                await driver.ack(each)
            except LeaseLostError:
                if each.leased_until > bench.now():  # else the machine stood still for a lease, and it comes again
                    raise
            else:
                found.append(each.message.id)
        if not got and bench.virtual:
            await bench.pass_time(TICK)


@proves("concurrency")
async def test_many_consumers_share_a_queue_without_loss_or_double(bench: Bench) -> None:
    queue, count = bench.queue(), 200
    sent = await asyncio.gather(*(bench.put(queue) for _ in range(count)))
    found: list[str] = []
    await asyncio.gather(*(consume(bench, queue, found, count) for _ in range(10)))
    assert sorted(found) == sorted(one for [one] in sent)
    await bench.nothing(queue)


@proves("concurrency")
async def test_nothing_is_lost_while_producers_and_consumers_run_together(bench: Bench) -> None:
    queue, found = bench.queue(), list[str]()
    producers = [bench.put(queue, 20) for _ in range(10)]
    consumers = [consume(bench, queue, found, 200) for _ in range(5)]
    sending = asyncio.gather(*producers)
    await asyncio.gather(*consumers)
    assert sorted(found) == sorted(each for some in await sending for each in some)
    await bench.nothing(queue)


@proves("concurrency")
async def test_drivers_of_one_broker_share_a_queue_without_loss_or_double(bench: Bench) -> None:
    queue, found = bench.queue(), list[str]()
    others = [bench.driver, await bench.open(), await bench.open()]
    sent = await bench.put(queue, 150)
    await asyncio.gather(*(consume(bench, queue, found, 150, each) for each in others for _ in range(3)))
    assert sorted(found) == sorted(sent)
    await bench.nothing(queue)


@proves("concurrency")
async def test_many_may_open_at_once(bench: Bench) -> None:
    queue = bench.queue()
    drivers = await asyncio.gather(*(bench.open() for _ in range(8)))
    await asyncio.gather(*(bench.nothing(queue, by=each) for each in drivers))
    await bench.put(queue)
    await bench.take(queue, by=drivers[-1])


@proves("concurrency")
async def test_many_may_be_the_first_of_a_queue_at_once(bench: Bench) -> None:
    drivers = await asyncio.gather(*(bench.open() for _ in range(6)))
    for _ in range(4):
        queue = bench.queue()
        messages = [bench.message(queue) for _ in drivers]
        await asyncio.gather(*(driver.enqueue(each) for driver, each in zip(drivers, messages, strict=True)))
        assert sorted(ids(await bench.drain(queue, len(drivers)))) == sorted(each.id for each in messages)


@proves("concurrency")
async def test_of_racing_settlements_one_wins(bench: Bench) -> None:
    queue = bench.queue()
    for round_ in range(10):
        await bench.put(queue)
        delivery = await bench.take(queue)
        verbs = [bench.driver.ack, bench.driver.nack, bench.driver.ack]
        if bench.claims.offers("Releases"):
            verbs.append(bench.driver.release)
        outcomes = await asyncio.gather(*(verb(delivery) for verb in verbs[round_ % 2 :]), return_exceptions=True)
        assert sum(each is None for each in outcomes) == 1, outcomes
        assert all(each is None or isinstance(each, LeaseLostError) for each in outcomes), outcomes
        for left in await bench.receive(queue, limit=2, within=TICK * 2):
            await bench.driver.ack(left)


@proves("concurrency")
async def test_fifty_queues_at_once_get_their_own_each(bench: Bench) -> None:
    queues = [bench.queue() for _ in range(50)]
    waiting = [await bench.begun(bench.driver.receive(each, limit=1, wait=timedelta(minutes=1))) for each in queues[:5]]
    waiting += [
        asyncio.ensure_future(bench.driver.receive(each, limit=1, wait=timedelta(minutes=1))) for each in queues[5:]
    ]
    sent = [(await bench.put(each))[0] for each in queues]
    await asyncio.wait(waiting, timeout=bench.soon.total_seconds() * 2)
    found = [ids(each.result()) if each.done() else [] for each in waiting]
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    assert found == [[each] for each in sent]


@proves("concurrency")
async def test_concurrent_calls_of_one_driver_do_not_mix_their_answers(bench: Bench) -> None:
    queues = [bench.queue() for _ in range(8)]

    async def talk(queue: str) -> None:
        for _ in range(8):
            [sent] = await bench.put(queue)
            delivery = await bench.take(queue)
            assert delivery.message.id == sent, "the answer to another call"
            await bench.driver.ack(delivery)

    await asyncio.gather(*map(talk, queues))

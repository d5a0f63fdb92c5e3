"""Receiving: never more than asked, as soon as something is there, and not a moment of work in between."""

import asyncio
import time
from datetime import timedelta

from waybill.driver import Delivery
from waybill.timing import ZERO

from ..bench import TICK, Bench, ids
from ..case import proves

LONG = timedelta(seconds=30)


@proves("delivery")
async def test_a_receive_returns_at_most_what_was_asked(bench: Bench) -> None:
    queue = bench.queue()
    sent = await bench.put(queue, 5)
    first = await bench.receive(queue, limit=2)
    rest = await bench.receive(queue, limit=3)
    assert (len(first), len(rest)) == (2, 3)
    assert sorted(ids(first + rest)) == sorted(sent)
    await bench.nothing(queue)


@proves("delivery")
async def test_what_a_receiver_holds_keeps_no_further_message_from_it(bench: Bench) -> None:
    """Each time it asks for one, and it has settled none; a worker may have asked for all of its slots before."""
    queue = bench.queue()
    sent = await bench.put(queue, 4)
    got = [await bench.take(queue) for _ in sent]
    assert sorted(ids(got)) == sorted(sent)


@proves("delivery")
async def test_what_nobody_waits_for_is_left_to_others(bench: Bench) -> None:
    """A broker that pushes gives a further message for each that is settled, also when its receiver has gone."""
    queue, other = bench.queue(), await bench.open()
    sent = await bench.put(queue, 6)
    gone = await bench.receive(queue, limit=3, by=other)
    for each in gone:
        await other.ack(each)
    within = min(bench.soon, (bench.claims.lease or bench.soon) * 0.8)
    rest = await bench.receive(queue, limit=3, within=within)
    assert sorted(ids(gone + rest)) == sorted(sent)
    if bench.claims.exact_attempts:
        assert {each.attempt for each in rest} == {1}


@proves("delivery")
async def test_one_receive_may_return_many(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 30)
    got: list[int] = []
    while sum(got) < 30:
        found = await bench.driver.receive(queue, limit=100, wait=ZERO if bench.virtual else bench.soon)
        assert found, f"only {sum(got)} of 30 came"
        got.append(len(found))


@proves("delivery")
async def test_a_receive_that_does_not_wait_returns_at_once(bench: Bench) -> None:
    queue = bench.queue()
    start = time.monotonic()
    assert await bench.driver.receive(queue, limit=10, wait=ZERO) == []
    assert time.monotonic() - start < 2 * bench.harness.patience
    await bench.put(queue)
    got = await bench.receive(queue)
    assert len(got) == 1


@proves("delivery")
async def test_a_blocked_receive_wakes_when_a_message_comes(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    for sender in (bench.driver, other):
        waiting = await bench.begun(bench.driver.receive(queue, limit=10, wait=LONG))
        start = time.monotonic()
        await sender.enqueue(bench.message(queue))
        await asyncio.wait([waiting], timeout=bench.soon.total_seconds())
        assert waiting.done(), "a waiting receive does not learn of a new message"
        assert len(waiting.result()) == 1
        if not bench.virtual:
            bench.level(f"woken within {(time.monotonic() - start) * 1000:.0f} ms")
        await bench.driver.ack(waiting.result()[0])


@proves("delivery")
async def test_a_receive_does_not_wait_for_more_than_one_message(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    receiving = asyncio.ensure_future(bench.driver.receive(queue, limit=100, wait=LONG))
    await asyncio.wait([receiving], timeout=bench.soon.total_seconds())
    assert receiving.done(), "something is there, and the receive waits for more"
    assert len(receiving.result()) == 1


@proves("delivery")
async def test_a_blocked_receive_waits_as_long_as_asked(bench: Bench) -> None:
    queue, wait = bench.queue(), timedelta(seconds=1.5)
    timer, cpu = bench.timer(wait), time.thread_time()
    assert await bench.ended(bench.driver.receive(queue, limit=1, wait=wait), within=wait + bench.soon) == []
    assert timer.passed() >= wait - TICK, f"it gave up after {timer.passed()} of {wait}"
    if not bench.virtual:
        busy = (time.thread_time() - cpu) / wait.total_seconds()
        assert busy < 0.2, f"waiting took {busy:.0%} of a processor"


@proves("delivery")
async def test_a_blocked_receive_wakes_for_what_is_given_back(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    waiting = await bench.begun(bench.driver.receive(queue, limit=1, wait=LONG))
    await bench.driver.nack(delivery)
    before_it_would_come_anyway = min(bench.soon, (bench.claims.lease or bench.soon) * 0.8)
    await asyncio.wait([waiting], timeout=before_it_would_come_anyway.total_seconds())
    assert waiting.done(), "a waiting receive does not learn of what is given back"
    assert [each.attempt for each in waiting.result()] == [2]


@proves("delivery")
async def test_every_waiting_receiver_gets_its_share(bench: Bench) -> None:
    queue = bench.queue()
    waiting = [await bench.begun(bench.driver.receive(queue, limit=1, wait=LONG)) for _ in range(5)]
    sent = []
    for _ in waiting:
        sent += await bench.put(queue)
        await asyncio.sleep(0.005)  # each finds the others waiting
    done, _ = await asyncio.wait(waiting, timeout=bench.soon.total_seconds())
    got = [one for each in done for one in each.result()]
    for each in set(waiting) - done:
        each.cancel()
    await asyncio.wait(waiting)
    assert sorted(ids(got)) == sorted(sent), f"{len(got)} of 5 waiting receivers got one of 5 messages"


@proves("ReceivesMany")
async def test_one_receive_takes_from_several_queues_earlier_ones_first(bench: Bench) -> None:
    first, second, third = bench.queue(), bench.queue(), bench.queue()
    for queue in (third, second, first):
        await bench.put(queue, 2)
    got = await _receive_many(bench, [first, second, third], 3)
    assert [each.message.queue for each in got] == [first, first, second]
    got = await _receive_many(bench, [first, second, third], 10)
    assert sorted(each.message.queue for each in got) == sorted([second, third, third])


@proves("ReceivesMany")
async def test_one_receive_returns_at_most_its_limit_from_all_queues_together(bench: Bench) -> None:
    queues = [bench.queue() for _ in range(4)]
    for queue in queues:
        await bench.put(queue, 3)
    got = await _receive_many(bench, queues, 5)
    assert len(got) == 5
    for queue in queues:
        taken = sum(each.message.queue == queue for each in got)
        assert len(await bench.receive(queue, limit=10, within=TICK)) == 3 - taken, "it holds more than it returned"


@proves("ReceivesMany")
async def test_one_wait_covers_several_queues(bench: Bench) -> None:
    queues = [bench.queue() for _ in range(3)]
    for queue in reversed(queues):
        waiting = await bench.begun(bench.driver.receive_many(queues, limit=10, wait=LONG))
        [sent] = await bench.put(queue)
        await asyncio.wait([waiting], timeout=bench.soon.total_seconds())
        assert waiting.done(), "a receive of several queues does not learn of a message in one of them"
        assert ids(waiting.result()) == [sent]
        await bench.driver.ack(waiting.result()[0])


@proves("ReceivesMany")
async def test_a_receive_of_several_empty_queues_waits_as_long_as_asked(bench: Bench) -> None:
    queues, wait = [bench.queue(), bench.queue()], timedelta(seconds=0.8)
    timer = bench.timer(wait)
    assert await bench.ended(bench.driver.receive_many(queues, limit=1, wait=wait), within=wait + bench.soon) == []
    assert timer.passed() >= wait - TICK


async def _receive_many(bench: Bench, queues: list[str], limit: int) -> list[Delivery]:
    return list(await bench.driver.receive_many(queues, limit=limit, wait=ZERO if bench.virtual else bench.soon))

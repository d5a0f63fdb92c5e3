"""Batch verbs: one outcome for each item, in order, and no item falls with another."""

import asyncio
from datetime import timedelta

from waybill.driver import Delivery, Message, UniqueKey
from waybill.errors import DuplicateJobError, LeaseLostError

from ..bench import SLACK, Bench, ids
from ..case import proves
from ..claims import Claims
from .test_lease import timed

MEBIBYTE = 2**20


def reports_duplicates(claims: Claims) -> bool:
    return "done" in claims.unique.scopes and claims.unique.reported


async def send(bench: Bench, messages: list[Message]) -> None:
    outcomes = await bench.driver.enqueue_batch([(each, None) for each in messages])
    assert all(isinstance(each, str) for each in outcomes), outcomes


async def leased(bench: Bench, queue: str, count: int) -> list[Delivery]:
    await bench.put(queue, count)
    return await bench.receive(queue, limit=count)


@proves("EnqueuesBatches", "max_batch")
async def test_a_batch_of_any_size_is_stored_whole(bench: Bench) -> None:
    size = bench.claims.max_batch
    for count in (0, 1, size, size + 1):
        queue = bench.queue()
        messages = [bench.message(queue) for _ in range(count)]
        await send(bench, messages)
        assert sorted(
            ids(await bench.receive(queue, limit=max(count, 1), within=None if count else timedelta(0)))
        ) == sorted(each.id for each in messages)
    bench.level(f"{size + 1} at once")


@proves("parallel_batches", "EnqueuesBatches")
async def test_as_many_batches_at_once_as_claimed_are_all_stored(bench: Bench) -> None:
    queue, size = bench.queue(), min(bench.claims.max_batch, 20)
    batches = [[bench.message(queue) for _ in range(size)] for _ in range(bench.claims.parallel_batches)]
    await asyncio.gather(*(send(bench, each) for each in batches))
    sent = [each.id for batch in batches for each in batch]
    assert sorted(ids(await bench.receive(queue, limit=len(sent)))) == sorted(sent)
    bench.level(f"{len(batches)} at once")


@proves("EnqueuesBatches")
async def test_each_message_of_a_batch_has_its_own_time(bench: Bench) -> None:
    queue = bench.queue()
    now, later, moment, past = (bench.message(queue) for _ in range(4))
    half = timedelta(seconds=0.8)
    timer = bench.timer(half)
    items = [(later, half), (now, None), (moment, bench.now() + half), (past, bench.now() - half)]
    await bench.driver.enqueue_batch(items)
    assert sorted(ids(await bench.drain(queue, 2))) == sorted([now.id, past.id])
    await bench.pass_time(max(timer.left(), timedelta()))
    assert sorted(ids(await bench.drain(queue, 2))) == sorted([later.id, moment.id])
    assert timer.passed() >= half - SLACK


@proves("EnqueuesBatches")
async def test_a_batch_may_hold_messages_of_several_queues(bench: Bench) -> None:
    first, second = bench.queue(), bench.queue()
    messages = [bench.message(queue) for queue in (first, second, first, second, second)]
    await send(bench, messages)
    assert sorted(ids(await bench.drain(first, 2))) == sorted([messages[0].id, messages[2].id])
    await bench.drain(second, 3)


@proves("EnqueuesBatches")
async def test_large_messages_of_one_batch_are_all_stored(bench: Bench) -> None:
    limit = bench.claims.max_message_bytes or MEBIBYTE
    queue, size, count = bench.queue(), min(limit, 250_000), min(bench.claims.max_batch, 12)
    messages = [bench.message(queue, body=bytes([number]) * size) for number in range(count)]
    await send(bench, messages)
    found = {each.message.id: each.message.body for each in await bench.drain(queue, count)}
    assert found == {each.id: each.body for each in messages}
    bench.level(f"{size * count:,} bytes in one")


@proves("EnqueuesBatches", "idempotent_enqueue")
async def test_a_batch_that_is_sent_again_stores_nothing(bench: Bench) -> None:
    queue = bench.queue()
    messages = [bench.message(queue) for _ in range(5)]
    await send(bench, messages)
    await send(bench, [*messages, messages[0]])
    await bench.drain(queue, 5)


@proves("EnqueuesBatches", "unique", given=reports_duplicates)
async def test_a_message_that_is_refused_is_told_in_its_place_and_the_others_are_stored(bench: Bench) -> None:
    queue = bench.queue()
    holder = bench.message(queue, unique=UniqueKey("k", "done"))
    await bench.driver.enqueue(holder)
    messages = [bench.message(queue, unique=UniqueKey("k", "done") if number == 2 else None) for number in range(5)]
    elsewhere = bench.message(bench.queue())  # its part is another, and the places are those of the batch
    outcomes = await bench.driver.enqueue_batch([(each, None) for each in (elsewhere, *messages)])
    refused = [isinstance(each, DuplicateJobError) for each in outcomes]
    assert refused == [False, False, False, True, False, False], outcomes
    stored = [holder.id, *(each.id for each in messages if each.unique is None)]
    assert sorted(ids(await bench.drain(queue, 5))) == sorted(stored)
    assert (await bench.take(elsewhere.queue)).message.id == elsewhere.id


@proves("AcksBatches")
async def test_a_batch_of_acks_removes_just_those(bench: Bench) -> None:
    queue = bench.queue()
    first, second, third, last = await leased(bench, queue, 4)
    assert list(await bench.driver.ack_batch([first, third])) == [None, None]
    assert list(await bench.driver.ack_batch([])) == []
    for each in (second, last):
        await bench.driver.nack(each)
    assert sorted(ids(await bench.drain(queue, 2))) == sorted(ids([second, last]))


@proves("AcksBatches")
async def test_a_stale_ack_is_told_in_its_place_and_the_others_count(bench: Bench) -> None:
    queue = bench.queue()
    first, stale, last = await leased(bench, queue, 3)
    await bench.driver.nack(stale)
    again = await bench.take(queue)
    outcomes = await bench.driver.ack_batch([first, stale, last])
    assert [isinstance(each, LeaseLostError) for each in outcomes] == [False, True, False], outcomes
    await bench.driver.nack(again)
    assert ids(await bench.drain(queue, 1)) == [stale.message.id]


@proves("AcksBatches", "max_batch")
async def test_a_batch_of_acks_may_be_of_any_size(bench: Bench) -> None:
    queue, count = bench.queue(), min(bench.claims.max_batch, 200) + 1
    deliveries = await leased(bench, queue, count)
    assert list(await bench.driver.ack_batch(deliveries)) == [None] * count
    await bench.nothing(queue, during=(bench.claims.lease or timedelta(seconds=1)) * 1.2)


@proves("NacksBatches")
async def test_each_nack_of_a_batch_has_its_own_delay(bench: Bench) -> None:
    queue = bench.queue()
    now, later = await leased(bench, queue, 2)
    delay = timedelta(seconds=0.7)
    timer = bench.timer(delay)
    assert list(await bench.driver.nack_batch([(later, delay), (now, timedelta())])) == [None, None]
    [again] = await bench.drain(queue, 1)
    assert (again.message.id, again.attempt) == (now.message.id, 2)
    await bench.pass_time(max(timer.left(), timedelta()))
    again = await bench.take(queue)
    assert (again.message.id, again.attempt) == (later.message.id, 2)
    assert timer.passed() >= delay - SLACK


@proves("NacksBatches")
async def test_a_stale_nack_is_told_in_its_place_and_the_others_count(bench: Bench) -> None:
    queue = bench.queue()
    first, stale, last = await leased(bench, queue, 3)
    await bench.driver.ack(stale)
    outcomes = await bench.driver.nack_batch([(each, timedelta()) for each in (first, stale, last)])
    assert [isinstance(each, LeaseLostError) for each in outcomes] == [False, True, False], outcomes
    assert sorted(ids(await bench.drain(queue, 2))) == sorted(ids([first, last]))


@proves("ExtendsBatches", given=timed)
async def test_a_batch_of_extensions_holds_every_lease(bench: Bench) -> None:
    queue = bench.queue()
    deliveries = await leased(bench, queue, 3)
    await bench.pass_time(bench.lease * 0.6)
    extended = await bench.driver.extend_batch(deliveries)
    await bench.nothing(queue, during=bench.lease * 0.7)
    for each in extended:
        await bench.driver.ack(each)
    await bench.nothing(queue, during=bench.lease)


@proves("ExtendsBatches")
async def test_a_stale_extension_is_told_in_its_place_and_the_others_count(bench: Bench) -> None:
    queue = bench.queue()
    first, stale, last = await leased(bench, queue, 3)
    await bench.driver.ack(stale)
    outcomes = await bench.driver.extend_batch([first, stale, last])
    assert [isinstance(each, LeaseLostError) for each in outcomes] == [False, True, False], outcomes
    for each in (outcomes[0], outcomes[2]):
        await bench.driver.ack(each)
    assert list(await bench.driver.extend_batch([])) == []

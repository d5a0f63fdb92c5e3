"""What is accepted is delivered: once, unchanged, in its own queue."""

import asyncio

from ..bench import Bench, ids
from ..case import proves


@proves("delivery")
async def test_a_message_is_delivered_once_as_its_first_attempt(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)
    delivery = await bench.take(queue)
    assert (delivery.message.id, delivery.attempt) == (sent, 1)
    await bench.nothing(queue)


@proves("delivery")
async def test_a_message_arrives_as_it_was_sent(bench: Bench) -> None:
    queue = bench.queue()
    message = bench.message(queue, headers={"trace": "a1", "empty": "", "text": "grüße, 世界"})
    await bench.driver.enqueue(message)
    got = (await bench.take(queue)).message
    assert (got.id, got.queue, got.body) == (message.id, queue, message.body)
    assert dict(got.headers) == dict(message.headers)
    assert (got.priority, got.group, got.unique) == (0, None, None)


@proves("delivery")
async def test_headers_do_not_leak_from_one_message_to_another(bench: Bench) -> None:
    queue = bench.queue()
    first, second = bench.message(queue, headers={"only": "first"}), bench.message(queue)
    for each in (first, second):
        await bench.driver.enqueue(each)
    found = {each.message.id: dict(each.message.headers) for each in await bench.drain(queue, 2)}
    assert found == {first.id: {"only": "first"}, second.id: {}}


@proves("delivery")
async def test_a_queue_receives_only_its_own(bench: Bench) -> None:
    base = bench.queue("a")
    queues = [base, f"{base}.b", f"{base}_b", f"{base}-b", base.upper(), f"{base}.b.c"]
    sent = {queue: (await bench.put(queue))[0] for queue in queues}
    for queue in queues:
        assert ids(await bench.drain(queue, 1)) == [sent[queue]], f"{queue} got what belongs to another"


@proves("delivery")
async def test_the_longest_and_the_shortest_queue_name_work(bench: Bench) -> None:
    for queue in (bench.queue().ljust(64, "x"), bench.queue()[-3:].strip("-.") or "q"):
        [sent] = await bench.put(queue)
        delivery = await bench.take(queue)
        await bench.driver.ack(delivery)
        assert delivery.message.id == sent


@proves("delivery")
async def test_a_queue_that_was_never_used_is_empty(bench: Bench) -> None:
    await bench.nothing(bench.queue())


@proves("delivery")
async def test_messages_with_ids_of_their_own_are_all_delivered(bench: Bench) -> None:
    queue = bench.queue()
    sent = [bench.message(queue, id=text) for text in ("1", "01", "a b", "ä", "a:b", "A", "a", "x" * 200)]
    for each in sent:
        await bench.driver.enqueue(each)
    assert sorted(ids(await bench.drain(queue, len(sent)))) == sorted(each.id for each in sent)


@proves("delivery")
async def test_what_one_driver_sends_another_receives(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    [sent] = await bench.put(queue)
    delivery = await bench.take(queue, by=other)
    assert delivery.message.id == sent
    await other.ack(delivery)
    await bench.nothing(queue)


@proves("idempotent_enqueue")
async def test_a_repeat_of_an_id_stores_nothing_and_succeeds(bench: Bench) -> None:
    queue = bench.queue()
    message = bench.message(queue)
    first = await bench.driver.enqueue(message)
    assert await bench.driver.enqueue(message) == first, "a repeat is told another id of the broker's"
    await bench.drain(queue, 1)


@proves("idempotent_enqueue")
async def test_a_repeat_of_an_id_is_recognised_however_it_is_sent(bench: Bench) -> None:
    from datetime import timedelta

    queue = bench.queue()
    message = bench.message(queue, body=b'{"jobName":"first"}')
    again = bench.message(queue, id=message.id, body=b'{"jobName":"second"}')
    await bench.driver.enqueue(message)
    await bench.driver.enqueue_in(again, timedelta(hours=1))
    await bench.driver.enqueue_at(again, bench.now())
    await bench.driver.enqueue(again)
    [got] = await bench.drain(queue, 1)
    assert got.message.body == message.body, "the repeat has replaced what was accepted"


@proves("idempotent_enqueue")
async def test_fifty_repeats_at_once_store_one_message(bench: Bench) -> None:
    queue = bench.queue()
    message = bench.message(queue)
    await asyncio.gather(*(bench.driver.enqueue(message) for _ in range(50)))
    await bench.drain(queue, 1)


@proves("idempotent_enqueue")
async def test_a_repeat_is_recognised_while_the_message_is_leased(bench: Bench) -> None:
    queue = bench.queue()
    message = bench.message(queue)
    await bench.driver.enqueue(message)
    delivery = await bench.take(queue)
    await bench.driver.enqueue(message)
    await bench.nothing(queue)
    await bench.driver.ack(delivery)
    await bench.nothing(queue)


@proves("idempotent_enqueue")
async def test_the_same_id_in_another_queue_is_another_message(bench: Bench) -> None:
    first, second = bench.queue(), bench.queue()
    for queue in (first, second):
        await bench.driver.enqueue(bench.message(queue, id="the-same"))
    for queue in (first, second):
        await bench.drain(queue, 1)


@proves("idempotent_enqueue", given=lambda claims: bool(claims.idempotent_enqueue))
async def test_an_id_is_remembered_after_its_message_is_done(bench: Bench) -> None:
    queue = bench.queue()
    message = bench.message(queue)
    await bench.driver.enqueue(message)
    await bench.driver.ack(await bench.take(queue))
    await bench.driver.enqueue(message)
    await bench.nothing(queue)
    bench.level("remembered after the ack")

"""One receiver gets a queue's plain messages in the order in which they were sent."""

from datetime import timedelta

from waybill.timing import ZERO

from ..bench import Bench, ids
from ..case import proves


@proves("ordering")
async def test_messages_come_in_the_order_sent(bench: Bench) -> None:
    queue = bench.queue()
    sent = await bench.put(queue, 20)
    came = []
    for _ in sent:
        delivery = await bench.take(queue)
        came.append(delivery.message.id)
        await bench.driver.ack(delivery)
    assert came == sent


@proves("ordering")
async def test_messages_come_in_the_order_sent_also_many_at_a_time(bench: Bench) -> None:
    queue = bench.queue()
    sent = await bench.put(queue, 30)
    came: list[str] = []
    while len(came) < len(sent):
        got = await bench.receive(queue, limit=min(7, len(sent) - len(came)))
        assert got, f"{len(came)} of {len(sent)} messages came"
        came += ids(got)
        for each in got:
            await bench.driver.ack(each)
    assert came == sent


@proves("ordering", "EnqueuesBatches")
async def test_order_is_kept_within_batches_and_across(bench: Bench) -> None:
    queue, size = bench.queue(), min(bench.claims.max_batch + 1, 25)
    messages = [bench.message(queue) for _ in range(2 * size + 1)]
    await bench.driver.enqueue_batch([(each, None) for each in messages[:size]])
    await bench.driver.enqueue(messages[size])
    await bench.driver.enqueue_batch([(each, None) for each in messages[size + 1 :]])
    assert ids(await bench.drain(queue, len(messages))) == [each.id for each in messages]


@proves("ordering")
async def test_the_order_is_that_of_sending_and_not_of_ids_or_sizes(bench: Bench) -> None:
    queue = bench.queue()
    names = ["9", "10", "1", "b", "a", "Z", "01"]
    for place, name in enumerate(names):
        await bench.driver.enqueue(bench.message(queue, b"x" * (20_000 if place % 3 == 0 else 10), id=name))
    assert ids(await bench.drain(queue, len(names))) == names


@proves("ordering")
async def test_what_two_drivers_send_in_turn_comes_in_turn(bench: Bench) -> None:
    queue, senders = bench.queue(), [bench.driver, await bench.open()]
    messages = [bench.message(queue) for _ in range(10)]
    for place, each in enumerate(messages):
        await senders[place % 2].enqueue(each)
    assert ids(await bench.drain(queue, 10)) == [each.id for each in messages]


@proves("ordering")
async def test_what_is_sent_to_a_waiting_receiver_comes_in_the_order_sent(bench: Bench) -> None:
    queue = bench.queue()
    waiting = await bench.begun(bench.driver.receive(queue, limit=2, wait=bench.soon))
    sent = await bench.put(queue, 6)
    first = ids(await bench.ended(waiting))
    assert first, "nothing came, and something was sent"
    assert first + ids(await bench.drain(queue, 6 - len(first))) == sent


@proves("ordering")
async def test_a_message_given_back_leaves_the_others_in_order(bench: Bench) -> None:
    queue = bench.queue()
    first, *rest = await bench.put(queue, 6)
    await bench.driver.nack(await bench.take(queue))
    came = ids(await bench.drain(queue, 6))
    assert [each for each in came if each != first] == rest


@proves("ordering")
async def test_a_message_that_has_become_due_leaves_the_others_in_order(bench: Bench) -> None:
    queue, delay = bench.queue(), timedelta(seconds=0.2)
    late = bench.message(queue)
    sent = await bench.put(queue, 3)
    timer = bench.timer(delay)
    await bench.driver.enqueue_in(late, delay)
    sent += await bench.put(queue, 3)
    await bench.pass_time(max(timer.left(), ZERO))
    came = ids(await bench.drain(queue, 7))
    assert [each for each in came if each != late.id] == sent

"""Messages of a group go one after the other, in the order sent, and no group waits for another."""

import asyncio
from datetime import timedelta

import pytest

from waybill import define_job
from waybill.errors import UnsupportedError
from waybill.timing import ZERO

from ..bench import SLACK, Bench, ids
from ..case import proves, refuses
from ..claims import Claims
from .test_lease import timed
from .test_worker import service_of

HOUR = timedelta(hours=1)


def grouped(claims: Claims) -> bool:
    return bool(claims.ordering == "group")


def grouped_and_timed(claims: Claims) -> bool:
    return grouped(claims) and timed(claims)


def for_later(bench: Bench, delay: timedelta) -> timedelta:
    """The delay, as the core would ask for it."""
    longest = bench.claims.max_nack_delay
    return delay if longest is None else min(delay, longest)


@proves("ordering", given=grouped)
async def test_one_message_of_a_group_is_out_at_a_time(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    sent = await bench.put(queue, 3, group="a")
    for each in sent:
        delivery = await bench.take(queue)
        assert delivery.message.id == each
        await bench.nothing(queue)
        await bench.nothing(queue, by=other)
        await bench.driver.ack(delivery)
    await bench.nothing(queue)


@proves("ordering", given=grouped)
async def test_a_group_keeps_its_order_whoever_receives(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    sent = await bench.put(queue, 8, group="a")
    for place, each in enumerate(sent):
        receiver = other if place % 2 else bench.driver
        delivery = await bench.take(queue, by=receiver)
        assert delivery.message.id == each, f"message {sent.index(delivery.message.id)} came in place {place}"
        await receiver.ack(delivery)


@proves("ordering", given=grouped, seconds=120)
async def test_groups_keep_their_order_while_many_receive(bench: Bench) -> None:
    queue, drivers = bench.queue(), [bench.driver, await bench.open(), await bench.open()]
    sent: dict[str, list[str]] = {name: [] for name in "abcde"}
    for _ in range(6):
        for name, line in sent.items():
            line += await bench.put(queue, group=name)
    came: dict[str | None, list[str]] = {name: [] for name in sent}
    out, end = set[str | None](), asyncio.get_running_loop().time() + 60

    async def consume(number: int) -> None:
        while sum(map(len, came.values())) < 30 and asyncio.get_running_loop().time() < end:
            for each in await drivers[number % 3].receive(queue, limit=1, wait=ZERO):
                group = each.message.group
                assert group not in out, f"two receivers have messages of {group} at a time"
                out.add(group)
                came[group].append(each.message.id)
                await asyncio.sleep(0.001)
                out.remove(group)
                await drivers[number % 3].ack(each)
            await asyncio.sleep(0.001)

    await asyncio.gather(*map(consume, range(6)))
    assert came == sent


@proves("ordering", given=grouped)
async def test_groups_wait_for_themselves_alone(bench: Bench) -> None:
    queue = bench.queue()
    first, *_ = await bench.put(queue, 3, group="a")
    second, *_ = await bench.put(queue, 2, group="b")
    plain = await bench.put(queue, 2)
    held = [await bench.take(queue) for _ in range(4)]
    assert sorted(ids(held)) == sorted([first, second, *plain])
    await bench.nothing(queue)


@proves("ordering", given=grouped)
async def test_groups_are_told_apart_by_their_whole_name(bench: Bench) -> None:
    queue, names = bench.queue(), ["a", "A", "a ", "a:b", "a.b", "ä", "x" * 100, "x" * 101]
    for name in names:
        await bench.put(queue, group=name)
    got = [await bench.take(queue) for _ in names]
    assert sorted(str(each.message.group) for each in got) == sorted(names)


@proves("ordering", given=grouped)
async def test_a_group_belongs_to_one_queue(bench: Bench) -> None:
    first, second = bench.queue(), bench.queue()
    for queue in (first, second):
        await bench.put(queue, 2, group="a")
    for queue in (first, second):
        await bench.take(queue)
        await bench.nothing(queue)


@proves("ordering", given=grouped)
async def test_what_one_receive_takes_of_a_group_is_in_order(bench: Bench) -> None:
    queue = bench.queue()
    sent = {name: await bench.put(queue, 4, group=name) for name in "ab"}
    came: dict[str | None, list[str]] = {name: [] for name in sent}
    while sum(map(len, came.values())) < 8:
        got = [await bench.take(queue), *await bench.driver.receive(queue, limit=10, wait=ZERO)]
        for each in got:
            came[each.message.group].append(each.message.id)
            await bench.driver.ack(each)
    assert came == sent


@proves("ordering", "EnqueuesBatches", given=grouped)
async def test_a_group_is_in_order_within_batches_and_across(bench: Bench) -> None:
    queue = bench.queue()
    first, second, third, fourth = (bench.message(queue, group="a") for _ in range(4))
    await bench.driver.enqueue_batch([(first, None), (bench.message(queue, group="b"), None), (second, None)])
    await bench.driver.enqueue(third)
    await bench.driver.enqueue_batch([(fourth, None)])
    came = []
    for _ in range(5):
        delivery = await bench.take(queue)
        await bench.driver.ack(delivery)
        came += ids([delivery]) if delivery.message.group == "a" else []
    assert came == [first.id, second.id, third.id, fourth.id]


@proves("ordering", given=grouped)
async def test_a_message_given_back_comes_before_the_next_of_its_group(bench: Bench) -> None:
    queue = bench.queue()
    first, second = await bench.put(queue, 2, group="a")
    await bench.driver.nack(await bench.take(queue))
    again = await bench.take(queue)
    assert (again.message.id, again.attempt) == (first, 2), "the next one has overtaken it"
    await bench.nothing(queue)
    await bench.driver.ack(again)
    assert (await bench.take(queue)).message.id == second


@proves("ordering", given=grouped)
async def test_a_message_given_back_for_later_holds_up_its_group_and_no_other(bench: Bench) -> None:
    queue, delay = bench.queue(), for_later(bench, timedelta(seconds=1))
    first, second = await bench.put(queue, 2, group="a")
    timer = bench.timer(delay)
    await bench.driver.nack(await bench.take(queue), delay=delay)
    [free] = await bench.put(queue, group="b")
    assert (await bench.take(queue)).message.id == free
    await bench.nothing(queue, during=max(timer.left() - timedelta(seconds=0.3), ZERO))
    again = await bench.take(queue)
    assert again.message.id == first, "the next one has overtaken it"
    assert timer.passed() >= delay - SLACK
    await bench.driver.ack(again)
    assert (await bench.take(queue)).message.id == second


@proves("ordering", "Releases", given=grouped)
async def test_a_released_message_comes_before_the_next_of_its_group(bench: Bench) -> None:
    queue = bench.queue()
    first, second = await bench.put(queue, 2, group="a")
    await bench.driver.release(await bench.take(queue))
    again = await bench.take(queue)
    assert again.message.id == first, "the next one has overtaken it"
    await bench.nothing(queue)
    await bench.driver.ack(again)
    assert (await bench.take(queue)).message.id == second


@proves("ordering", "lease", given=grouped_and_timed)
async def test_a_message_whose_lease_ended_comes_before_the_next_of_its_group(bench: Bench) -> None:
    queue = bench.queue()
    first, second = await bench.put(queue, 2, group="a")
    await bench.take(queue)
    await bench.nothing(queue, during=bench.lease * 0.8)
    again = await bench.take(queue, within=bench.lease * 0.2 + bench.soon)
    assert (again.message.id, again.attempt) == (first, 2), "the next one has overtaken it"
    await bench.nothing(queue)
    await bench.driver.ack(again)
    assert (await bench.take(queue)).message.id == second


@proves("ordering", "ExtendsLease", given=grouped_and_timed)
async def test_a_group_waits_while_the_lease_of_its_first_is_extended(bench: Bench) -> None:
    queue = bench.queue()
    _, second = await bench.put(queue, 2, group="a")
    delivery = await bench.take(queue)
    await bench.pass_time(bench.lease * 0.7)
    delivery = await bench.driver.extend(delivery)
    await bench.nothing(queue, during=bench.lease * 0.7)
    await bench.driver.ack(delivery)
    assert (await bench.take(queue)).message.id == second


@proves("ordering", "Buries", given=grouped)
async def test_the_next_of_a_group_comes_when_its_first_is_dead(bench: Bench) -> None:
    queue = bench.queue()
    _, second = await bench.put(queue, 2, group="a")
    await bench.driver.bury(await bench.take(queue), bench.reason())
    assert (await bench.take(queue)).message.id == second
    await bench.nothing(queue)


@proves("ordering", "Cancels", given=grouped)
async def test_the_next_of_a_group_comes_when_its_first_is_cancelled(bench: Bench) -> None:
    queue = bench.queue()
    first, second = await bench.put(queue, 2, group="a")
    assert await bench.driver.cancel(queue, first)
    assert (await bench.take(queue)).message.id == second


@proves("ordering", "Cancels", given=grouped)
async def test_the_next_of_a_group_comes_when_the_one_given_back_for_later_is_cancelled(bench: Bench) -> None:
    queue = bench.queue()
    first, second = await bench.put(queue, 2, group="a")
    await bench.driver.nack(await bench.take(queue), delay=for_later(bench, HOUR))
    assert await bench.driver.cancel(queue, first)
    assert (await bench.take(queue)).message.id == second


@proves("ordering", "Cancels", given=grouped)
async def test_a_cancelled_message_behind_the_first_sets_nothing_free(bench: Bench) -> None:
    queue = bench.queue()
    _, second, third = await bench.put(queue, 3, group="a")
    delivery = await bench.take(queue)
    assert await bench.driver.cancel(queue, second)
    await bench.nothing(queue)
    await bench.driver.ack(delivery)
    assert ids(await bench.drain(queue, 1)) == [third]


@proves("ordering", "Purges", given=lambda claims: grouped(claims) and claims.purge == "all")
async def test_a_group_goes_on_after_a_purge(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 3, group="a")
    await bench.driver.nack(await bench.take(queue), delay=for_later(bench, HOUR))
    await bench.driver.purge(queue)
    [sent] = await bench.put(queue, group="a")
    assert ids(await bench.drain(queue, 1)) == [sent]


@proves("ordering", "Purges", given=lambda claims: grouped(claims) and claims.purge == "all")
async def test_a_purge_leaves_the_group_of_a_leased_message_waiting(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 3, group="a")
    delivery = await bench.take(queue)
    await bench.driver.purge(queue)
    [sent] = await bench.put(queue, group="a")
    await bench.nothing(queue)
    await bench.driver.ack(delivery)
    assert ids(await bench.drain(queue, 1)) == [sent]


@proves("ordering", given=grouped)
async def test_a_delayed_message_does_not_hold_up_its_group(bench: Bench) -> None:
    queue, delay = bench.queue(), timedelta(seconds=30)
    await bench.driver.enqueue_in(bench.message(queue, group="a"), min(delay, bench.claims.max_delay or delay))
    sent = await bench.put(queue, 2, group="a")
    for each in sent:
        delivery = await bench.take(queue)
        assert delivery.message.id == each
        await bench.driver.ack(delivery)


@proves("ordering", given=grouped)
async def test_a_message_that_becomes_due_waits_for_the_one_of_its_group_that_is_out(bench: Bench) -> None:
    queue, delay = bench.queue(), timedelta(seconds=0.3)
    late = bench.message(queue, group="a")
    await bench.driver.enqueue_in(late, delay)
    [first] = await bench.put(queue, group="a")
    delivery = await bench.take(queue)
    assert delivery.message.id == first
    await bench.pass_time(delay + min(bench.claims.delay_resolution, timedelta(seconds=1)))
    await bench.nothing(queue)
    await bench.driver.ack(delivery)
    assert ids(await bench.drain(queue, 1)) == [late.id]


async def refuse_a_group(bench: Bench) -> None:
    queue = bench.queue()
    job = define_job(name="send", handler=lambda: None, queue=queue, group=lambda payload: "a")
    async with service_of(bench, job) as service:
        with pytest.raises(UnsupportedError):
            await service.enqueue(job)
        assert not bench.asked, "the broker was asked"
    bench.driver = await bench.open()
    await bench.nothing(queue)


@refuses("ordering")
async def test_a_group_is_refused_where_there_is_no_order(bench: Bench) -> None:
    await refuse_a_group(bench)


@proves("ordering", given=lambda claims: claims.ordering == "fifo")
async def test_a_group_is_refused_where_only_whole_queues_are_in_order(bench: Bench) -> None:
    await refuse_a_group(bench)

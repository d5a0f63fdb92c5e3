"""Ack, nack and release: each delivery is settled once, by whom it belongs to."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from waybill.driver import Delivery
from waybill.errors import LeaseLostError

from ..bench import Bench, ids
from ..case import proves
from .test_lease import held, timed


async def lost_to_another(bench: Bench, queue: str) -> tuple[Delivery, Delivery]:
    """A delivery whose lease ended, and the one that another driver holds instead."""
    await bench.put(queue)
    stale = await bench.take(queue)
    await bench.pass_time(bench.lease)
    return stale, await bench.take(queue, by=await bench.open())


@proves("settling")
async def test_an_acked_message_never_comes_again(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    await bench.driver.ack(await bench.take(queue))
    await bench.nothing(queue, during=(bench.claims.lease or timedelta(seconds=1)) * 1.2)
    await bench.driver.close()
    await bench.nothing(queue, by=await bench.open())


@proves("settling")
async def test_deliveries_are_acked_in_any_order(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 4)
    first, second, third, last = await bench.receive(queue, limit=4)
    for each in (third, first, last):
        await bench.driver.ack(each)
    await bench.driver.nack(second)
    assert ids(await bench.drain(queue, 1)) == [second.message.id]


@proves("settling")
async def test_an_ack_concerns_one_delivery_and_no_other(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 3)
    first, *others = await bench.receive(queue, limit=3)
    await bench.driver.ack(first)
    for each in others:
        await bench.driver.nack(each)
    assert sorted(ids(await bench.drain(queue, 2))) == sorted(ids(others))


@proves("settling")
async def test_another_task_may_ack(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await asyncio.ensure_future(bench.take(queue))
    await asyncio.ensure_future(bench.driver.ack(delivery))
    await bench.nothing(queue, during=(bench.claims.lease or timedelta(seconds=1)) * 1.2)


@proves("settling")
async def test_a_second_ack_is_refused_and_harms_no_other_delivery(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 2)
    first, second = await bench.receive(queue, limit=2)
    await bench.driver.ack(first)
    with pytest.raises(LeaseLostError):
        await bench.driver.ack(first)
    await bench.nothing(queue)
    await bench.driver.ack(second)


@proves("settling")
async def test_a_settled_delivery_is_not_settled_another_way(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    await bench.driver.ack(delivery)
    with pytest.raises(LeaseLostError):
        await bench.driver.nack(delivery)
    await bench.nothing(queue)


@proves("settling")
async def test_a_delivery_given_back_is_not_acked_any_more(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    await bench.driver.nack(delivery)
    again = await bench.take(queue)
    with pytest.raises(LeaseLostError):
        await bench.driver.ack(delivery)
    await bench.driver.ack(again)


@proves("settling")
async def test_a_receipt_that_nobody_gave_is_refused(bench: Bench) -> None:
    queue, other = bench.queue(), bench.queue()
    await bench.put(queue)
    await bench.put(other)
    delivery, stranger = await bench.take(queue), await bench.take(other)
    forged = [
        replace(delivery, receipt="nobody gave this"),
        replace(delivery, receipt=None),
        replace(delivery, message=replace(delivery.message, id="unheard-of"), receipt="neither this"),
    ]
    for each in forged:
        with pytest.raises(LeaseLostError):
            await bench.driver.ack(each)
        with pytest.raises(LeaseLostError):
            await bench.driver.nack(each)
    for each in (delivery, stranger):
        await bench.driver.ack(each)


@proves("fencing", given=timed)
async def test_a_stale_ack_does_not_remove_what_another_holds(bench: Bench) -> None:
    queue = bench.queue()
    other = await bench.open()
    await bench.put(queue)
    stale = await bench.take(queue)
    await bench.pass_time(bench.lease)
    held = await bench.take(queue, by=other)
    with pytest.raises(LeaseLostError):
        await bench.driver.ack(stale)
    await other.nack(held)
    assert (await bench.take(queue)).message.id == held.message.id
    bench.level(bench.claims.fencing)


@proves("fencing", given=timed)
async def test_what_a_stale_receiver_could_not_ack_is_still_there(bench: Bench) -> None:
    queue = bench.queue()
    stale, _ = await lost_to_another(bench, queue)
    with pytest.raises(LeaseLostError):
        await bench.driver.ack(stale)
    await bench.pass_time(bench.lease)
    assert (await bench.take(queue)).attempt == 3


@proves("fencing", given=timed)
async def test_a_stale_nack_gives_nothing_back(bench: Bench) -> None:
    queue = bench.queue()
    stale, _ = await lost_to_another(bench, queue)
    with pytest.raises(LeaseLostError):
        await bench.driver.nack(stale)
    await bench.nothing(queue)


@proves("fencing", given=timed)
async def test_a_stale_receipt_is_refused_also_after_the_holder_has_settled(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    await bench.put(queue)
    stale = await bench.take(queue)
    await bench.pass_time(bench.lease)
    await other.ack(await bench.take(queue, by=other))
    for settle in (bench.driver.ack, bench.driver.nack):
        with pytest.raises(LeaseLostError):
            await settle(stale)
    await bench.nothing(queue)


@proves("fencing", "Releases", given=timed)
async def test_a_stale_release_gives_nothing_back(bench: Bench) -> None:
    queue = bench.queue()
    stale, _ = await lost_to_another(bench, queue)
    with pytest.raises(LeaseLostError):
        await bench.driver.release(stale)
    await bench.nothing(queue)


@proves("fencing", "Releases", "exact_attempts")
async def test_a_receipt_is_stale_also_where_attempt_and_place_are_the_same_again(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    stale = await bench.take(queue)
    await bench.driver.release(stale)
    again = await bench.take(queue)
    assert again.attempt == stale.attempt
    with pytest.raises(LeaseLostError):
        await bench.driver.ack(stale)
    await bench.driver.ack(again)


@proves("fencing", given=held, power="cut", vital=True)
async def test_a_receipt_of_a_lost_connection_settles_nothing_of_the_next_holder(bench: Bench) -> None:
    """Places may be counted anew on each connection, so that the receipt would fit another delivery by then."""
    from .test_recovery import again

    queue = bench.queue()
    await bench.put(queue)
    stale = await bench.take(queue)
    await bench.harness.cut()
    holder = await again(bench, bench.take, queue)
    for settle in (bench.driver.ack, bench.driver.nack):
        with pytest.raises(LeaseLostError):
            await settle(stale)
    await bench.nothing(queue)
    await bench.driver.nack(holder)
    last = await bench.take(queue)
    assert (last.message.id, last.attempt) == (stale.message.id, 3)
    bench.level(bench.claims.fencing)


@proves("settling")
async def test_a_nacked_message_comes_back_as_its_next_attempt(bench: Bench) -> None:
    queue = bench.queue()
    message = bench.message(queue, headers={"kept": "yes"})
    await bench.driver.enqueue(message)
    await bench.driver.nack(await bench.take(queue))
    again = await bench.take(queue)
    assert (again.message.id, again.attempt) == (message.id, 2)
    assert (again.message.body, dict(again.message.headers)) == (message.body, {"kept": "yes"})
    await bench.nothing(queue)


@proves("settling")
async def test_a_nack_of_one_leaves_the_others_leased(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 3)
    first, second, third = await bench.receive(queue, limit=3)
    await bench.driver.nack(second)
    assert ids(await bench.drain(queue, 1)) == [second.message.id]
    for each in (first, third):
        await bench.driver.ack(each)


@proves("settling")
async def test_attempts_count_on_and_nothing_multiplies(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    for attempt in range(1, 16):
        delivery = await bench.take(queue)
        assert delivery.attempt == attempt
        await bench.driver.nack(delivery)
    [last] = await bench.drain(queue, 1)
    await bench.driver.ack(last)
    await bench.nothing(queue)


@proves("Releases")
async def test_a_released_message_comes_back(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)
    await bench.driver.release(await bench.take(queue))
    assert ids(await bench.drain(queue, 1)) == [sent]


@proves("Releases", "exact_attempts")
async def test_a_release_spends_no_attempt(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    for _ in range(3):
        delivery = await bench.take(queue)
        assert delivery.attempt == 1
        await bench.driver.release(delivery)
    await bench.driver.nack(await bench.take(queue))
    delivery = await bench.take(queue)
    assert delivery.attempt == 2
    await bench.driver.release(delivery)
    assert (await bench.take(queue)).attempt == 2


@proves("Releases")
async def test_a_message_released_for_later_is_not_early(bench: Bench) -> None:
    queue, delay = bench.queue(), timedelta(seconds=0.6)
    await bench.put(queue)
    delivery = await bench.take(queue)
    timer = bench.timer(delay)
    await bench.driver.release(delivery, delay=delay)
    await bench.nothing(queue, during=timedelta(seconds=0.4))
    await bench.take(queue)
    assert timer.passed() >= delay


@proves("Releases")
async def test_a_settled_delivery_is_not_released(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    await bench.driver.ack(delivery)
    with pytest.raises(LeaseLostError):
        await bench.driver.release(delivery)
    await bench.nothing(queue)


@proves("exact_attempts", given=timed)
async def test_a_holder_that_vanished_counts_one_attempt(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    for attempt in (1, 2, 3):
        holder = await bench.open()
        assert (await bench.take(queue, by=holder)).attempt == attempt
        await holder.close()
        await bench.pass_time(bench.lease)

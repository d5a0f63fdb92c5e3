"""A clone is a second connection to the same store, and settles what the first one has received."""

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from waybill.driver import Delivery
from waybill.errors import LeaseLostError

from ..bench import Bench, ids
from ..case import proves
from .test_lease import timed


@proves("Clones")
async def test_a_clone_serves_the_same_store(bench: Bench) -> None:
    queue, clone = bench.queue(), bench.watch(bench.driver.clone())
    await clone.open()
    [sent] = await bench.put(queue)
    got = await bench.take(queue, by=clone)
    assert got.message.id == sent
    await clone.ack(got)
    await clone.enqueue(back := bench.message(queue))
    assert ids(await bench.drain(queue, 1)) == [back.id]


@proves("Clones")
async def test_a_clone_has_the_claims_of_its_driver(bench: Bench) -> None:
    await bench.nothing(bench.queue())
    clone = bench.driver.clone()
    await clone.open()
    try:
        assert clone.capabilities == bench.driver.capabilities
    finally:
        await clone.close()


@proves("Clones", given=timed)
async def test_a_clone_settles_what_the_other_one_received(bench: Bench) -> None:
    queue, clone = bench.queue(), bench.watch(bench.driver.clone())
    await clone.open()
    await bench.put(queue, 2)
    first, second = await bench.receive(queue, limit=2)
    await clone.ack(first)
    await clone.nack(second)
    [again] = await bench.drain(queue, 1)
    assert (again.message.id, again.attempt) == (second.message.id, 2)
    with pytest.raises(LeaseLostError):
        await bench.driver.ack(first)
    await clone.ack(again)


@proves("Clones", "ExtendsLease", given=timed)
async def test_a_clone_extends_what_the_other_one_received(bench: Bench) -> None:
    queue, clone = bench.queue(), bench.watch(bench.driver.clone())
    await clone.open()
    await bench.put(queue)
    delivery = await bench.take(queue)
    await bench.pass_time(bench.lease * 0.6)
    extended = await clone.extend(delivery)
    await bench.nothing(queue, during=bench.lease * 0.7)
    await bench.driver.ack(extended)
    await bench.nothing(queue, during=bench.lease)


@proves("Clones", "ExtendsLease", given=timed)
async def test_a_clone_refuses_a_receipt_that_is_lost(bench: Bench) -> None:
    queue, clone = bench.queue(), bench.watch(bench.driver.clone())
    await clone.open()
    await bench.put(queue)
    lost = await bench.take(queue)
    await bench.pass_time(bench.lease)
    held = await bench.take(queue, by=await bench.open())
    for settle in (clone.extend, clone.ack, clone.nack):
        with pytest.raises(LeaseLostError):
            await settle(lost)
    await clone.ack(held)
    await bench.nothing(queue)


@proves("Clones")
async def test_closing_a_clone_leaves_its_driver_open(bench: Bench) -> None:
    queue, clone = bench.queue(), bench.driver.clone()
    await bench.put(queue, 2)
    delivery = await bench.take(queue)
    await clone.open()
    await clone.close()
    await bench.driver.ack(delivery)
    await bench.put(queue)
    await bench.drain(queue, 2)


@proves("Clones")
async def test_closing_a_driver_leaves_its_clone_open(bench: Bench) -> None:
    queue, clone = bench.queue(), bench.watch(bench.driver.clone())
    await clone.open()
    sent = await bench.put(queue)
    await bench.driver.close()
    assert ids(await bench.receive(queue, by=clone)) == sent


@proves("Clones")
async def test_a_clone_that_nobody_opens_holds_up_nothing(bench: Bench) -> None:
    queue, clones = bench.queue(), [bench.driver.clone() for _ in range(3)]
    sent = await bench.put(queue)
    assert ids(await bench.drain(queue, 1)) == sent
    for each in clones:
        await each.close()


@proves("Clones", "ExtendsLease", given=timed)
async def test_a_clone_renews_a_lease_while_the_loop_of_its_driver_is_blocked(bench: Bench) -> None:
    """On a thread and loop of its own, as a worker's renewals run; what blocks stands still for longer than a lease."""
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    clone, opened, renewed = bench.driver.clone(), threading.Event(), list[Delivery]()

    async def renew() -> None:
        await clone.open()
        opened.set()
        try:
            for _ in range(4):
                await bench.pass_time(bench.lease * 0.4)
                renewed.append(await clone.extend(renewed[-1] if renewed else delivery))
        finally:
            await clone.close()

    thread = threading.Thread(target=lambda: asyncio.run(renew()), daemon=True)
    thread.start()
    opened.wait(timeout=bench.soon.total_seconds())
    blocked_until = time.monotonic() + (bench.lease * 2 + bench.soon).total_seconds()
    while thread.is_alive() and time.monotonic() < blocked_until:
        time.sleep(0.01)  # noqa: ASYNC251 - the loop is blocked on purpose
    assert not thread.is_alive(), "the renewals need the loop of the driver that was cloned"
    assert len(renewed) == 4, f"{len(renewed)} of 4 renewals were made while the loop was blocked"
    await bench.nothing(queue)
    await bench.driver.ack(renewed[-1])
    await bench.nothing(queue, during=timedelta(seconds=0.1))

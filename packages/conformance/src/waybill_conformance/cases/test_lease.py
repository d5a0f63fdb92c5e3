"""A delivery belongs to its receiver until it is settled or its lease ends: neither earlier nor later."""

import asyncio
from datetime import timedelta

import pytest

from waybill.errors import ConfigurationError, LeaseLostError

from ..bench import SLACK, Bench
from ..case import proves
from ..claims import Claims


def timed(claims: Claims) -> bool:
    return claims.lease is not None


def held(claims: Claims) -> bool:
    return claims.lease is None


@proves("lease", given=timed)
async def test_an_unsettled_message_comes_back_when_its_lease_ends_and_not_before(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)
    timer = bench.timer(bench.lease)
    await bench.take(queue)
    await bench.nothing(queue, during=bench.lease * 0.8)
    again = await bench.take(queue, within=bench.lease * 0.2 + bench.soon)
    assert timer.passed() >= bench.lease - SLACK, f"it came back after {timer.passed()}; the lease is {bench.lease}"
    assert (again.message.id, again.attempt) == (sent, 2), "a lease that ended counts as an attempt"
    bench.level("waited out:", bench.lease)


@proves("lease", given=timed)
async def test_a_delivery_says_until_when_it_is_leased(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    before = bench.now()
    delivery = await bench.take(queue)
    after = bench.now()
    assert delivery.leased_until is not None
    assert (
        before + bench.lease - timedelta(seconds=1)
        <= delivery.leased_until
        <= after + bench.lease + timedelta(seconds=1)
    )


@proves("lease", given=timed)
async def test_a_lease_that_ended_while_nobody_was_there_is_found_later(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)
    await bench.take(queue)
    await bench.driver.close()
    await bench.pass_time(bench.lease)
    later = await bench.open()
    again = await bench.take(queue, by=later)
    assert (again.message.id, again.attempt) == (sent, 2)


@proves("lease", given=timed)
async def test_one_lease_that_ended_goes_to_one_receiver(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    await bench.take(queue)
    others = [await bench.open() for _ in range(3)]
    await bench.pass_time(bench.lease + bench.claims.delay_resolution)
    waiting = [bench.receive(queue, by=each, within=bench.lease / 2) for each in others]
    got = [one for found in await asyncio.gather(*waiting) for one in found]
    assert len(got) == 1, f"{len(got)} receivers hold one message"


@proves("lease", given=timed)
async def test_a_blocked_receive_wakes_when_a_lease_ends(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)
    await bench.take(queue)
    waiting = bench.driver.receive(queue, limit=1, wait=bench.lease + bench.soon * 2)
    [again] = await bench.ended(waiting, within=bench.lease + bench.soon)
    assert again.message.id == sent


@proves("lease", given=timed)
async def test_a_driver_keeps_the_lease_it_claims_whatever_another_one_has(bench: Bench) -> None:
    """Where the lease is stored with the queue, another one is refused, and the error names both values."""
    queue, asked = bench.queue(), bench.lease * 2.5
    await bench.put(queue, 2)
    try:
        patient = await bench.open(lease=asked)
    except ConfigurationError as error:
        assert any(each.isdigit() for each in str(error)), "the error names neither lease"
        bench.level("stored with the queue")
        return
    longer = patient.capabilities.lease
    await bench.take(queue, by=patient)
    short = await bench.take(queue)
    if longer == bench.lease:
        bench.level("the same for all connections of this harness")
        return
    await bench.pass_time(bench.lease)
    again = await bench.take(queue)
    assert again.message.id == short.message.id, "the longer lease ended with the shorter one"
    await bench.nothing(queue, during=(longer - bench.lease) * 0.5)


@proves("ExtendsLease", given=timed)
async def test_an_extended_lease_holds(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    for _ in range(3):
        await bench.nothing(queue, during=bench.lease * 0.7)
        delivery = await bench.driver.extend(delivery)
    await bench.nothing(queue, during=bench.lease * 0.5)
    await bench.driver.ack(delivery)
    await bench.nothing(queue, during=bench.lease)
    bench.level("held for more than two leases")


@proves("ExtendsLease", given=timed)
async def test_an_extension_is_a_full_lease_from_now(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    await bench.pass_time(bench.lease * 0.6)
    timer = bench.timer(bench.lease)
    extended = await bench.driver.extend(delivery)
    assert extended.leased_until is not None and delivery.leased_until is not None
    gained = extended.leased_until - delivery.leased_until
    assert gained >= bench.lease * 0.3, f"an extension after 0.6 of the lease has moved its end by {gained}"
    await bench.nothing(queue, during=bench.lease * 0.7)
    again = await bench.take(queue, within=bench.lease * 0.3 + bench.soon)
    assert timer.passed() >= bench.lease - SLACK
    assert again.attempt == 2, "an extension spends no attempt"


@proves("ExtendsLease", given=timed)
async def test_a_lost_lease_is_not_extended_nor_stolen_back(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    await bench.put(queue)
    lost = await bench.take(queue)
    await bench.pass_time(bench.lease)
    held_by_other = await bench.take(queue, by=other)
    with pytest.raises(LeaseLostError):
        await bench.driver.extend(lost)
    await other.ack(held_by_other)


@proves("max_run", "ExtendsLease", given=timed, power="clock")
async def test_a_delivery_is_held_as_long_as_it_is_said_to_be_holdable(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery, timer = await bench.take(queue), bench.timer(bench.claims.max_run)
    while timer.left() > bench.lease:
        await bench.pass_time(min(bench.lease * 0.9, timer.left()))
        delivery = await bench.driver.extend(delivery)
    await bench.nothing(queue)
    await bench.driver.ack(delivery)
    bench.level("held for", bench.claims.max_run)


@proves("ExtendsLease")
async def test_a_settled_delivery_is_not_extended(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    await bench.driver.ack(delivery)
    with pytest.raises(LeaseLostError):
        await bench.driver.extend(delivery)


@proves("lease", given=held, power="cut", vital=True)
async def test_what_a_lost_connection_held_comes_back_at_once(bench: Bench) -> None:
    from .test_recovery import again  # which imports from here

    queue, other = bench.queue(), await bench.open()
    [sent] = await bench.put(queue)
    await bench.take(queue, by=other)
    await bench.harness.cut()
    back = await again(bench, bench.take, queue)
    assert (back.message.id, back.attempt) == (sent, 2)


@proves("ExtendsLease", given=held, power="cut", vital=True)
async def test_an_extension_after_the_connection_was_lost_is_refused(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    assert await bench.driver.extend(delivery) == delivery
    await bench.harness.cut()
    with pytest.raises(LeaseLostError):
        await bench.driver.extend(delivery)

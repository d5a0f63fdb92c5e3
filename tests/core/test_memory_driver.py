"""The memory driver, verb by verb: the reference that the others are held against."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from waybill import (
    DeadReason,
    DriverClosedError,
    DuplicateJobError,
    EnqueueRejectedError,
    LeaseLostError,
    Message,
    UniqueKey,
    claims,
)
from waybill.drivers.memory import MemoryDriver
from waybill.testing import VirtualClock

ZERO = timedelta()
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
LEASE = timedelta(seconds=60)
REASON = DeadReason("permanent", "x", 1, datetime(2026, 1, 1, tzinfo=UTC))


def message(number, queue="q", **options):
    return Message(f"id{number}", queue, f"body {number}".encode(), **options)


async def take(driver, queue="q", limit=10):
    return await driver.receive(queue, limit=limit, wait=ZERO)


async def ids(driver, queue="q", limit=10):
    return [each.message.id for each in await take(driver, queue, limit)]


async def one(driver, queue="q"):
    [delivery] = await take(driver, queue, 1)
    return delivery


# -- enqueue and receive ----------------------------------------------------------------------------------------


async def test_what_is_enqueued_is_received_as_it_was(driver):
    sent = message(1, unique=UniqueKey("k", "done"), group="g", priority=3, headers={"h": "é"})
    assert await driver.enqueue(sent) == "id1"
    got = await one(driver)
    assert got.message == sent
    assert (got.attempt, got.leased_until) == (1, driver.clock.now() + LEASE)
    assert await take(driver) == []


@pytest.mark.parametrize("body", [b"", bytes(range(256)), b"\xff\x00", b"x" * 1_000_000], ids=len)
async def test_any_bytes_are_carried(driver, body):
    await driver.enqueue(Message("id", "q", body))
    assert (await one(driver)).message.body == body


async def test_messages_come_in_order_the_urgent_first_and_never_more_than_asked(driver):
    for number in range(5):
        await driver.enqueue(message(number, priority=9 if number == 3 else 0))
    assert await ids(driver, limit=2) == ["id3", "id0"]
    assert await ids(driver, limit=10) == ["id1", "id2", "id4"]


async def test_a_repeated_id_is_stored_once_while_it_is_stored(driver):
    await asyncio.gather(*(driver.enqueue(message(1)) for _ in range(50)))
    delivery = await one(driver)
    await driver.enqueue(message(1))
    assert await take(driver) == []
    await driver.ack(delivery)
    await driver.enqueue(message(1))
    assert await ids(driver) == ["id1"]


async def test_queues_are_apart(driver):
    for queue in ("a", "A", "a.b", "a_b", "a-b"):
        await driver.enqueue(message(queue, queue))
    for queue in ("a", "A", "a.b", "a_b", "a-b"):
        assert await ids(driver, queue) == [f"id{queue}"]


@pytest.mark.parametrize(
    "delay", [timedelta(microseconds=1), timedelta(milliseconds=1900), timedelta(seconds=60.7), timedelta(days=999)]
)
@pytest.mark.parametrize("verb", ["in", "at", "nack", "release"])
async def test_nothing_is_early(driver, clock, verb, delay):
    match verb:
        case "in":
            await driver.enqueue_in(message(1), delay)
        case "at":
            await driver.enqueue_at(message(1), clock.now() + delay)
        case _:
            await driver.enqueue(message(1))
            await getattr(driver, verb)(await one(driver), delay=delay)
    clock.advance(delay - timedelta(microseconds=1))
    assert await take(driver) == []
    clock.advance(timedelta(microseconds=1))
    assert await ids(driver) == ["id1"]


async def test_a_short_delay_is_not_held_up_by_a_long_one(driver, clock):
    await driver.enqueue_in(message(1), MINUTE)
    await driver.enqueue_in(message(2), SECOND)
    clock.advance(SECOND)
    assert await ids(driver) == ["id2"]


async def test_a_moment_in_the_past_is_now(driver):
    await driver.enqueue_at(message(1), datetime(2020, 1, 1, tzinfo=UTC))
    assert await ids(driver) == ["id1"]


async def test_a_thousand_due_at_one_instant_come_once_each(driver, clock):
    for number in range(1000):
        await driver.enqueue_in(message(number), MINUTE)
    clock.advance("1d")
    assert await ids(driver, limit=2000) == [f"id{number}" for number in range(1000)]
    assert await take(driver) == []


@pytest.mark.parametrize("what", ["enqueue", "due", "nack", "lease"])
async def test_a_waiting_receive_returns_as_soon_as_something_is_there(driver, clock, what):
    delivery = None
    if what in ("nack", "lease"):
        await driver.enqueue(message(1))
        delivery = await one(driver)
    elif what == "due":
        await driver.enqueue_in(message(1), MINUTE)
    waiting = asyncio.create_task(driver.receive("q", limit=5, wait=timedelta(hours=1)))
    await asyncio.sleep(0)
    assert not waiting.done()
    match what:
        case "enqueue":
            await driver.enqueue(message(1))
        case "nack":
            await driver.nack(delivery)
        case _:
            clock.advance(MINUTE)
    async with asyncio.timeout(5):
        assert [each.message.id for each in await waiting] == ["id1"]


async def test_a_receive_of_nothing_ends_with_its_wait(driver, clock):
    waiting = asyncio.create_task(driver.receive("q", limit=1, wait=MINUTE))
    await asyncio.sleep(0)
    clock.advance("59s")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance("1s")
    assert await waiting == []


@pytest.mark.parametrize("steps", range(8))
async def test_a_receive_cancelled_at_any_step_loses_nothing(driver, clock, steps):
    waiting = asyncio.create_task(driver.receive("q", limit=5, wait=MINUTE))
    for step in range(8):
        if step == 3:
            await driver.enqueue(message(1))
        if step == steps:
            waiting.cancel()
        await asyncio.sleep(0)
    done, _ = await asyncio.wait([waiting])
    got = [] if waiting.cancelled() else waiting.result()
    assert len(got) + len(await take(driver)) == 1
    assert done


async def test_many_cancelled_receives_leave_nothing_behind(driver):
    for _ in range(200):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await driver.receive("q", limit=1, wait=MINUTE)
    assert driver._shared._waiting == {}
    await driver.enqueue(message(1))
    assert await ids(driver) == ["id1"]


async def test_20_receivers_share_500_messages(driver):
    seen = []

    async def work():
        while got := await driver.receive("q", limit=3, wait=ZERO):
            await asyncio.sleep(0)
            for each in got:
                seen.append(each.message.id)
                await driver.ack(each)

    for number in range(500):
        await driver.enqueue(message(number))
    await asyncio.gather(*(work() for _ in range(20)))
    assert sorted(seen) == sorted(f"id{number}" for number in range(500))


# -- settling -------------------------------------------------------------------------------------------------

SETTLE = {
    "ack": lambda driver, delivery: driver.ack(delivery),
    "nack": lambda driver, delivery: driver.nack(delivery),
    "release": lambda driver, delivery: driver.release(delivery),
    "extend": lambda driver, delivery: driver.extend(delivery),
    "bury": lambda driver, delivery: driver.bury(delivery, REASON),
}


@pytest.mark.parametrize("settle", SETTLE)
async def test_a_delivery_that_is_somebody_elses_is_a_lost_lease(driver, clock, settle):
    await driver.enqueue(message(1))
    stale = await one(driver)
    clock.advance(LEASE)
    current = await one(driver)
    assert (current.attempt, current.receipt != stale.receipt) == (2, True)
    with pytest.raises(LeaseLostError):
        await SETTLE[settle](driver, stale)
    assert await take(driver) == []
    await driver.ack(current)


@pytest.mark.parametrize("settle", SETTLE)
@pytest.mark.parametrize("before", ["ack", "nack", "release", "bury"])
async def test_what_is_settled_cannot_be_settled_again(driver, settle, before):
    await driver.enqueue(message(1))
    delivery = await one(driver)
    await SETTLE[before](driver, delivery)
    with pytest.raises(LeaseLostError):
        await SETTLE[settle](driver, delivery)


@pytest.mark.parametrize("settle", SETTLE)
async def test_a_receipt_of_another_driver_is_a_lost_lease(driver, settle):
    await driver.enqueue(message(1))
    delivery = await one(driver)
    with pytest.raises(LeaseLostError):
        await SETTLE[settle](MemoryDriver(), delivery)


async def test_the_lease_ends_neither_early_nor_never_and_counts_the_attempt(driver, clock):
    await driver.enqueue(message(1))
    for attempt in range(1, 6):
        delivery = await one(driver)
        assert delivery.attempt == attempt
        clock.advance(LEASE - timedelta(microseconds=1))
        assert await take(driver) == []
        clock.advance(timedelta(microseconds=1))


async def test_an_extended_lease_is_a_full_one_from_now(driver, clock):
    await driver.enqueue(message(1))
    delivery = await one(driver)
    for _ in range(5):
        clock.advance(LEASE * 0.8)
        delivery = await driver.extend(delivery)
        assert delivery.leased_until == clock.now() + LEASE
    clock.advance(LEASE - SECOND)
    assert await take(driver) == []
    clock.advance(SECOND)
    assert (await one(driver)).attempt == 2


@pytest.mark.parametrize(("verb", "attempt"), [("nack", 2), ("release", 1)])
async def test_only_a_nack_spends_an_attempt(driver, verb, attempt):
    await driver.enqueue(message(1))
    for _ in range(3):
        await getattr(driver, verb)(await one(driver))
    assert (await one(driver)).attempt == 1 + 3 * (attempt - 1)


async def test_a_batch_settles_each_on_its_own(driver, clock):
    for number in range(6):
        await driver.enqueue(message(number))
    stale, *good = await take(driver)
    await driver.ack(stale)
    assert [type(each) for each in await driver.ack_batch([good[0], stale, good[1]])] == [
        type(None),
        LeaseLostError,
        type(None),
    ]
    assert [type(each) for each in await driver.nack_batch([(good[2], ZERO), (stale, ZERO)])] == [
        type(None),
        LeaseLostError,
    ]
    extended, lost = await driver.extend_batch([good[3], stale])
    assert (extended.message, type(lost)) == (good[3].message, LeaseLostError)
    assert await ids(driver) == ["id3"]


# -- unique keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", ["done", "start", "window"])
async def test_a_held_key_refuses_another_id_with_the_holders(driver, until):
    unique = UniqueKey("k", until, MINUTE if until == "window" else None)
    await driver.enqueue(message(1, unique=unique))
    await driver.enqueue(message(1, unique=unique))
    with pytest.raises(DuplicateJobError) as caught:
        await driver.enqueue(message(2, unique=unique))
    assert caught.value.existing_job_id == "id1"
    await driver.enqueue(message(3, "other", unique=unique))
    first, second = await driver.enqueue_batch(
        [(message(4, unique=UniqueKey("l", until)), None), (message(5, unique=UniqueKey("l", until)), None)]
    )
    assert (first, type(second)) == ("id4", DuplicateJobError)


# -- groups -------------------------------------------------------------------------------------------------------


async def test_a_group_is_handed_out_one_at_a_time_in_order(driver, clock):
    for number in range(3):
        await driver.enqueue(message(number, group="g"))
    await driver.enqueue(message(9, group="h"))
    first, other = await take(driver)
    assert [first.message.id, other.message.id] == ["id0", "id9"]
    await driver.nack(first, delay=MINUTE)
    assert await take(driver) == []
    clock.advance(MINUTE)
    assert [each.message.id for each in await take(driver)] == ["id0", "id9"]


@pytest.mark.parametrize("end", ["ack", "bury", "lease", "cancel", "purge"])
async def test_the_next_of_a_group_comes_when_the_first_is_done_with(driver, clock, end):
    for number in range(3):
        await driver.enqueue(message(number, group="g"))
    match end:
        case "cancel":
            assert await driver.cancel("q", "id0")
            assert await ids(driver) == ["id1"]
        case "purge":
            await driver.purge("q")
            await driver.enqueue(message(7, group="g"))
            assert await ids(driver) == ["id7"]
        case "lease":
            await one(driver)
            clock.advance(LEASE)
            assert await ids(driver) == ["id0"]
        case _:
            await SETTLE[end](driver, await one(driver))
            assert await ids(driver) == ["id1"]


async def test_a_cancelled_one_in_the_middle_of_a_group_is_passed_over(driver):
    for number in range(3):
        await driver.enqueue(message(number, group="g"))
    assert await driver.cancel("q", "id1")
    await driver.ack(await one(driver))
    assert await ids(driver) == ["id2"]


# -- dead letters, looking, clearing --------------------------------------------------------------------------------


async def test_a_buried_message_is_a_dead_letter_of_its_queue_or_of_another(driver):
    await driver.enqueue(message(1))
    await driver.enqueue(message(2))
    first, second = await take(driver)
    await driver.bury(first, REASON)
    await driver.bury(second, REASON, "graves")
    assert [each.message.id for each in (await driver.list_dead("q")).entries] == ["id1"]
    assert [(each.message, each.reason) for each in driver.dead] == [(first.message, REASON), (second.message, REASON)]
    assert await driver.retry_dead("graves", None) == 1
    assert await ids(driver, "q") == ["id2"]


async def test_10_000_dead_letters_are_listed_retried_and_purged(driver):
    for number in range(10_000):
        await driver.enqueue(message(number))
    for each in await take(driver, limit=10_000):
        await driver.bury(each, REASON)
    page, seen = await driver.list_dead("q", limit=1000), 0
    while True:
        seen += len(page.entries)
        if page.next is None:
            break
        page = await driver.list_dead("q", after=page.next, limit=1000)
    assert seen == 10_000
    async with asyncio.timeout(20):
        assert await driver.retry_dead("q", [f"id{number}" for number in range(5000)]) == 5000
    assert await driver.purge_dead("q") == 5000


async def test_delayed_messages_are_listed_the_earliest_first_until_they_are_due(driver, clock):
    for number, minutes in enumerate((3, 1, 2)):
        await driver.enqueue_in(message(number), timedelta(minutes=minutes))
    page = await driver.list_delayed("q", limit=2)
    assert [each.message.id for each in page.entries] == ["id1", "id2"]
    assert [each.message.id for each in (await driver.list_delayed("q", after=page.next)).entries] == ["id0"]
    clock.advance("1m")
    assert [each.message.id for each in (await driver.list_delayed("q")).entries] == ["id2", "id0"]


async def test_queues_that_hold_something_are_listed(driver):
    await driver.enqueue(message(1, "b"))
    await driver.enqueue(message(2, "a"))
    await driver.ack(await one(driver, "b"))
    await driver.stats("c")
    assert await driver.queues() == ["a"]


async def test_cancel_and_purge_take_what_waits_also_after_a_lost_lease(driver, clock):
    await driver.enqueue(message(1))
    await driver.enqueue(message(2))
    await take(driver)
    assert not await driver.cancel("q", "id1")
    assert await driver.purge("q") == 0
    clock.advance(LEASE)
    assert await driver.cancel("q", "id1")
    assert await driver.purge("q") == 1
    assert not await driver.cancel("q", "unknown")


# -- state --------------------------------------------------------------------------------------------------------


async def test_state_is_compared_and_swapped(driver):
    version = await driver.state_put("k", b"1", expect=None)
    assert await driver.state_put("k", b"2", expect=None) is None
    assert await driver.state_get("k") == (b"1", version)
    newer = await driver.state_put("k", b"2", expect=version)
    assert newer != version
    assert await driver.state_put("k", b"3", expect=version) is None
    assert not await driver.state_delete("k", expect=version)
    assert await driver.state_delete("k", expect=newer)
    assert await driver.state_get("k") is None
    assert await driver.state_put("k", b"4", expect=newer) is None


async def test_of_many_writers_one_wins(driver):
    won = await asyncio.gather(*(driver.state_put("k", b"%d" % n, expect=None) for n in range(50)))
    assert sum(each is not None for each in won) == 1


async def test_state_ends_with_its_time(driver, clock):
    version = await driver.state_put("k", b"1", expect=None, ttl=MINUTE)
    clock.advance("59s")
    assert await driver.state_get("k")
    version = await driver.state_put("k", b"2", expect=version, ttl=MINUTE)
    clock.advance("59s")
    assert (await driver.state_get("k")).value == b"2"
    clock.advance("1s")
    assert await driver.state_get("k") is None
    assert (await driver.state_list("")).entries == []
    assert await driver.state_put("k", b"3", expect=version) is None
    assert await driver.state_put("k", b"3", expect=None)


async def test_state_is_listed_by_prefix_in_pages(driver):
    for key in ("b2", "a", "b1", "b3", "c"):
        await driver.state_put(key, key.encode(), expect=None)
    page = await driver.state_list("b", limit=2)
    assert [each.key for each in page.entries] == ["b1", "b2"]
    page = await driver.state_list("b", after=page.next, limit=2)
    assert ([each.key for each in page.entries], page.next) == (["b3"], None)


# -- life -----------------------------------------------------------------------------------------------------------


async def test_a_closed_driver_refuses_every_verb_and_wakes_who_waits(driver):
    await driver.enqueue(message(1))
    delivery = await one(driver)
    waiting = asyncio.create_task(driver.receive("other", limit=1, wait=MINUTE))
    await asyncio.sleep(0)
    await driver.close()
    await driver.close()
    with pytest.raises(DriverClosedError):
        await waiting
    calls = [
        driver.enqueue(message(2)),
        driver.receive("q", limit=1, wait=ZERO),
        driver.stats("q"),
        driver.state_get("k"),
    ]
    for refused in [*calls, *(each(driver, delivery) for each in SETTLE.values())]:
        with pytest.raises(DriverClosedError):
            await refused
    await driver.open()
    assert await take(driver) == [], "its leases go on"
    await driver.ack(delivery)


async def test_a_clone_settles_what_its_twin_received_and_lives_on_without_it(driver):
    twin = driver.clone()
    await twin.open()
    await driver.enqueue(message(1))
    delivery = await one(driver)
    await driver.close()
    await twin.ack(await twin.extend(delivery))
    assert (await twin.stats("q")).leased == 0


async def test_an_injected_failure_hits_exactly_the_next_enqueue_and_stores_nothing(driver):
    driver.fail_next(EnqueueRejectedError("full"))
    with pytest.raises(EnqueueRejectedError):
        await driver.enqueue(message(1))
    await driver.enqueue(message(2))
    assert [each.message.id for each in driver.enqueued] == ["id2"]
    assert await ids(driver) == ["id2"]


def test_it_is_thread_safe():
    driver, seen = MemoryDriver(), []

    async def produce(start):
        for number in range(start, start + 200):
            await driver.enqueue(message(number))

    async def consume():
        while len(seen) < 1000:
            for each in await driver.receive("q", limit=7, wait=timedelta(milliseconds=20)):
                seen.append(each.message.id)
                await driver.ack(each)

    work = [*(produce(start) for start in range(0, 1000, 200)), *(consume() for _ in range(5))]
    threads = [threading.Thread(target=asyncio.run, args=(each,)) for each in work]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert sorted(seen) == sorted(f"id{number}" for number in range(1000))


async def test_a_url_does_not_record_what_it_sends(driver):
    from waybill import open_driver

    silent = await asyncio.to_thread(open_driver, "memory://")
    await silent.enqueue(message(1))
    assert silent.enqueued == []
    assert repr(silent) == "MemoryDriver(1 messages)"


async def test_its_claims_are_told_by_name(driver):
    told = dict(claims(driver))
    assert told["Clones"] is told["Buries"] is True
    assert (told["durability"], told["lease"], told["priorities"], told["max_message_bytes"]) == (
        "process",
        LEASE,
        10,
        None,
    )
    [note] = await driver.diagnose()
    assert note.level == "info"


async def test_a_jump_of_the_clock_loses_and_doubles_nothing(driver):
    clock = VirtualClock()
    driver = MemoryDriver(clock=clock)
    for number in range(10):
        await driver.enqueue_in(message(number), timedelta(hours=number))
    clock.advance("1d")
    for each in await take(driver, limit=99):
        await driver.ack(each)
    clock.advance("1d")
    assert await take(driver) == []


async def test_a_group_goes_in_the_order_it_was_sent_whatever_the_priorities(driver):
    for number, priority in enumerate((0, 3, 9, 5)):
        await driver.enqueue(message(number, group="g", priority=priority))
    for expected in ("id0", "id1", "id2", "id3"):
        head = await one(driver)
        assert head.message.id == expected
        await driver.ack(head)

"""Each verb of the protocol, on a virtual clock."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from waybill.driver import OPTIONAL, DeadReason, Message, QueueStats
from waybill.errors import LeaseLostError
from waybill_sqlite import SqliteDriver

LEASE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
REASON = DeadReason("permanent", "no such user", 1, datetime(2026, 1, 1, tzinfo=UTC))


def ids(deliveries):
    return [delivery.message.id for delivery in deliveries]


@pytest.mark.parametrize("protocol", OPTIONAL, ids=lambda protocol: protocol.__name__)
def test_every_optional_verb_is_offered(protocol, path):
    assert isinstance(SqliteDriver(path), protocol)


def test_the_capabilities_follow_the_durability(path):
    assert SqliteDriver(path).capabilities.durability == "host-fsync"
    assert SqliteDriver(path, durability="normal").capabilities.durability == "host-lazy"
    assert SqliteDriver(path, lease="5s").capabilities.lease == timedelta(seconds=5)


# -- enqueue -------------------------------------------------------------------------------------------


async def test_a_message_comes_back_as_it_was_sent(driver, take):
    sent = Message("id", "q", b'{"n": 1}', group="g", priority=7, headers={"trace": "1"})
    assert await driver.enqueue(sent) == "id"
    [delivery] = await take()
    assert delivery.message == sent
    assert delivery.attempt == 1
    assert delivery.leased_until == driver.clock.now() + LEASE


@pytest.mark.parametrize("size", [0, 1, 2048, 2049, 1_000_000])
async def test_a_body_of_any_size_is_kept_byte_for_byte(driver, take, message, size):
    body = bytes(range(256)) * (size // 256) + b"\x00" * (size % 256)
    sent = message(body=body)
    await driver.enqueue(sent)
    [delivery] = await take()
    assert delivery.message.body == body
    await driver.bury(delivery, REASON)
    [letter] = (await driver.list_dead("q")).entries
    assert letter.message.body == body
    assert await driver.retry_dead("q", None) == 1
    [delivery] = await take()
    assert delivery.message.body == body
    await driver.ack(delivery)
    assert (await driver.stats("q")) == QueueStats(0, 0, 0, 0)


async def test_the_same_id_is_stored_once_while_it_is_stored(driver, take, message):
    await driver.enqueue(message("same", body=b"first"))
    assert await driver.enqueue(message("same", body=b"second")) == "same"
    assert await driver.enqueue_in(message("same"), SECOND) == "same"
    assert await driver.enqueue_batch([(message("same", group="g"), None)] * 2) == ["same", "same"]
    [delivery] = await take()
    assert delivery.message.body == b"first"
    await driver.enqueue(message("same"))
    assert await take() == [], "it is still stored while it is leased"
    await driver.ack(delivery)
    await driver.enqueue(message("same", body=b"third"))
    assert [each.message.body for each in await take()] == [b"third"]


async def test_the_same_id_in_another_queue_is_another_job(driver, take, message):
    await driver.enqueue(message("same", queue="a"))
    await driver.enqueue(message("same", queue="b"))
    assert ids(await take(queue="a")) == ids(await take(queue="b")) == ["same"]


async def test_a_batch_has_one_outcome_per_item_in_order(driver, take, message):
    batch = [
        (message("now"), None),
        (message("big", body=b"x" * 5000), None),
        (message("later"), timedelta(minutes=1)),
        (message("at"), driver.clock.now() + timedelta(minutes=2)),
        (message("past"), driver.clock.now() - timedelta(minutes=2)),
    ]
    assert await driver.enqueue_batch(batch) == ["now", "big", "later", "at", "past"]
    assert ids(await take()) == ["now", "big", "past"]
    assert await driver.enqueue_batch([]) == []


@pytest.mark.parametrize("size", [99, 100, 101, 350])
async def test_a_batch_of_any_size_and_mixture_is_stored_in_its_order(driver, take, message, size):
    special = {size // 2: {"headers": {"a": "b"}}, size // 3: {"body": b"x" * 5000}, size // 4: {"group": "g"}}
    sent = [message(f"{n}", **special.get(n, {})) for n in range(size)]
    batch = [(each, None) for each in sent]
    batch.append((sent[3], None))
    batch[7:7] = [(message("elsewhere", queue="r"), None), (message("later"), timedelta(days=1))]
    assert await driver.enqueue_batch(batch) == [each.id for each, _ in batch]
    assert [delivery.message for delivery in await take(1000)] == sent
    assert ids(await take(queue="r")) == ["elsewhere"]
    assert (await driver.stats("q")).delayed == 1


async def test_a_delayed_message_never_comes_early(driver, take, message, clock):
    await driver.enqueue_in(message("a"), timedelta(seconds=10))
    await driver.enqueue_at(message("b"), clock.now() + timedelta(microseconds=10_000_001))
    clock.advance(timedelta(microseconds=9_999_999))
    assert await take() == []
    clock.advance(timedelta(microseconds=1))
    assert ids(await take()) == ["a"]
    clock.advance(timedelta(microseconds=1))
    assert ids(await take()) == ["b"]


async def test_a_delay_beyond_the_calendar_is_kept_until_its_end(driver, message):
    await driver.enqueue_in(message(), timedelta.max)
    [entry] = (await driver.list_delayed("q")).entries
    assert entry.due.year == 9999


# -- receive -------------------------------------------------------------------------------------------


async def test_higher_priorities_come_first_then_the_older(driver, take, message):
    for job_id, priority in [("low", 0), ("high", 9), ("mid", 5), ("high2", 9)]:
        await driver.enqueue(message(job_id, priority=priority))
    assert ids(await take(3)) == ["high", "high2", "mid"]
    assert ids(await take()) == ["low"]


async def test_receive_gives_no_more_than_the_limit(driver, take, message):
    await driver.enqueue_batch([(message(), None) for _ in range(5)])
    assert [len(await take(limit)) for limit in (0, 2, 2, 2)] == [0, 2, 2, 1]


async def test_receive_many_serves_earlier_queues_first(driver, message):
    for queue in ("b", "a", "b", "a"):
        await driver.enqueue(message(queue=queue))
    got = await driver.receive_many(["a", "unheard-of", "b"], limit=3, wait=timedelta())
    assert [each.message.queue for each in got] == ["a", "a", "b"]


async def test_queue_names_differ_by_case_and_punctuation(driver, take, message):
    names = ["a", "A", "a.b", "a_b", "a-b"]
    for name in names:
        await driver.enqueue(message(name, queue=name))
    assert [ids(await take(queue=name)) for name in names] == [[name] for name in names]
    assert await driver.queues() == sorted(names)


async def test_a_lease_that_ran_out_brings_the_job_back_with_its_attempt_counted(driver, take, message, clock):
    await driver.enqueue(message())
    await take()
    clock.advance(LEASE - timedelta(microseconds=1))
    assert await take() == []
    clock.advance(timedelta(microseconds=1))
    assert [each.attempt for each in await take()] == [2]


# -- settle --------------------------------------------------------------------------------------------


async def test_an_acked_job_never_comes_back(driver, take, message, clock):
    await driver.enqueue(message())
    await driver.ack((await take())[0])
    clock.advance("1d")
    assert await take() == []


async def test_a_nacked_job_keeps_its_place_and_counts_the_attempt(driver, take, message):
    await driver.enqueue_batch([(message(), None) for _ in range(2)])
    [first] = await take(1)
    await driver.nack(first)
    assert [(each.message.id, each.attempt) for each in await take()] == [("1", 2), ("2", 1)]


async def test_a_nack_with_a_delay_waits_that_long(driver, take, message, clock):
    await driver.enqueue(message())
    await driver.nack((await take())[0], delay=timedelta(seconds=5))
    clock.advance(4.999)
    assert await take() == []
    clock.advance(0.001)
    assert [each.attempt for each in await take()] == [2]


async def test_a_release_spends_no_attempt(driver, take, message, clock):
    await driver.enqueue(message())
    await driver.release((await take())[0])
    [again] = await take()
    assert again.attempt == 1
    await driver.release(again, delay=SECOND)
    assert await take() == []
    clock.advance(1)
    assert [each.attempt for each in await take()] == [1]


async def test_an_extended_lease_holds(driver, take, message, clock):
    await driver.enqueue(message())
    [delivery] = await take()
    clock.advance("40s")
    extended = await driver.extend(delivery)
    assert extended.leased_until == clock.now() + LEASE
    clock.advance("59s")
    assert await take() == []
    await driver.ack(extended)


@pytest.mark.parametrize("verb", ["ack", "nack", "release", "extend", "bury"])
async def test_a_stale_receipt_is_refused_and_the_new_holder_untouched(driver, take, message, clock, verb):
    await driver.enqueue(message())
    [stale] = await take()
    clock.advance("61s")
    [held] = await take()
    with pytest.raises(LeaseLostError, match="Nothing was changed"):
        await getattr(driver, verb)(stale, *([REASON] if verb == "bury" else []))
    assert (await driver.stats("q")) == QueueStats(0, 0, 1, 0)
    await driver.ack(held)


@pytest.mark.parametrize("verb", ["ack", "nack", "extend"])
async def test_a_receipt_is_stale_although_id_place_and_attempt_are_the_same_again(driver, take, message, verb):
    await driver.enqueue(message("same"))
    [old] = await take()
    await driver.ack(old)
    await driver.enqueue(message("same"))
    [new] = await take()
    assert (new.message, new.attempt, new.receipt[0]) == (old.message, old.attempt, old.receipt[0])
    with pytest.raises(LeaseLostError):
        await getattr(driver, verb)(old)
    await driver.ack(new)


async def test_a_released_receipt_is_stale_although_the_attempt_is_the_same_again(driver, take, message):
    await driver.enqueue(message())
    [old] = await take()
    await driver.release(old)
    [new] = await take()
    with pytest.raises(LeaseLostError):
        await driver.ack(old)
    await driver.ack(new)


@pytest.mark.parametrize("noticed", [False, True], ids=["unnoticed", "noticed"])
async def test_a_late_ack_or_extend_is_honoured_while_nobody_else_has_the_job(driver, take, message, clock, noticed):
    await driver.enqueue_batch([(message(), None) for _ in range(3)])
    one, two, three = await take()
    clock.advance("1h")
    if noticed:  # another receive has brought them forward, and took none of them
        await driver.enqueue(message(priority=9))
        await driver.ack((await take(1))[0])
    await driver.ack(one)
    held = await driver.extend(two)
    await driver.release(three)
    assert ids(await take()) == ["3"]
    await driver.ack(held)


async def test_batches_of_settlements_have_one_outcome_per_item_in_order(driver, take, message, clock):
    await driver.enqueue_batch([(message(), None) for _ in range(3)])
    one, two, three = await take()
    await driver.ack(two)

    extended = await driver.extend_batch([one, two, three])
    assert [type(each).__name__ for each in extended] == ["Delivery", "LeaseLostError", "Delivery"]
    nacked = await driver.nack_batch([(one, timedelta()), (two, timedelta()), (three, SECOND)])
    assert [type(each).__name__ for each in nacked] == ["NoneType", "LeaseLostError", "NoneType"]
    clock.advance(1)
    one, three = await take()
    acked = await driver.ack_batch([one, two, three, three])
    assert [type(each).__name__ for each in acked] == ["NoneType", "LeaseLostError", "NoneType", "LeaseLostError"]


async def test_a_clone_accepts_the_receipts_of_its_original(driver, take, message, clock):
    await driver.enqueue_batch([(message(), None) for _ in range(2)])
    one, two = await take()
    twin = driver.clone()
    assert (twin.path, twin.options, twin.clock) == (driver.path, driver.options, driver.clock)
    await twin.open()
    clock.advance("50s")
    extended = await twin.extend(one)
    await twin.ack(two)
    await twin.close()
    clock.advance("50s")
    assert await take() == []
    await driver.ack(extended)


async def test_receipts_differ_although_two_processes_seeded_their_random_numbers_alike(driver, take, message, clock):
    await driver.enqueue(message())
    random.seed(1)
    [stale] = await take()
    clock.advance("61s")
    random.seed(1)
    await take()
    with pytest.raises(LeaseLostError):
        await driver.ack(stale)


# -- looking and clearing ------------------------------------------------------------------------------


async def test_the_counts_are_exact(driver, take, message, clock):
    await driver.enqueue_batch([(message(), None) for _ in range(3)])
    await driver.enqueue_batch([(message(group="g"), None) for _ in range(2)])
    await driver.enqueue_in(message(), timedelta(minutes=10))
    one, two, three = await take(3)
    await driver.bury(one, REASON)
    await driver.nack(two, delay=timedelta(minutes=5))
    assert await driver.stats("q") == QueueStats(ready=2, delayed=2, leased=1, dead=1)
    clock.advance("5m")
    assert await driver.stats("q") == QueueStats(ready=4, delayed=1, leased=0, dead=1), "due is ready, run out too"
    assert await driver.stats("unheard-of") == QueueStats(0, 0, 0, 0)
    await driver.ack(three)


async def test_delayed_messages_are_listed_by_their_time_page_by_page(driver, take, message, clock):
    for job_id, minutes in [("c", 3), ("a", 1), ("b", 2), ("b2", 2), ("now", 0)]:
        await driver.enqueue_in(message(job_id, body=job_id.encode() * 3000), timedelta(minutes=minutes))
    seen, after = [], None
    while True:
        page = await driver.list_delayed("q", after=after, limit=2)
        seen += [(each.message.id, each.due - clock.now(), len(each.message.body)) for each in page.entries]
        after = page.next
        if after is None:
            break
    minute = timedelta(minutes=1)
    assert seen == [("a", minute, 3000), ("b", 2 * minute, 3000), ("b2", 2 * minute, 6000), ("c", 3 * minute, 3000)]


async def test_purge_takes_what_waits_and_leaves_what_is_leased_or_dead(driver, take, message):
    await driver.enqueue_batch([(message(group=group), None) for group in (None, None, "g", "g", "h", "h")])
    await driver.enqueue_in(message(), SECOND)
    await driver.enqueue(message(queue="other"))
    one, two, g = await take(3)
    await driver.bury(one, REASON)
    assert await driver.purge("q") == 4
    assert await driver.stats("q") == QueueStats(0, 0, 2, 1)
    assert await driver.purge("q") == 0
    assert await driver.purge("unheard-of") == 0
    assert await driver.ack_batch([two, g]) == [None, None]
    assert ids(await take(queue="other")) == ["8"]


async def test_a_purged_group_is_free_for_new_messages(driver, take, message):
    await driver.enqueue_batch([(message(group="g"), None) for _ in range(3)])
    await driver.purge("q")
    await driver.enqueue(message("new", group="g"))
    assert ids(await take()) == ["new"]


async def test_cancel_removes_what_waits_and_nothing_else(driver, take, message, clock):
    await driver.enqueue(message("leased"))
    [leased] = await take()
    await driver.enqueue(message("ready"))
    await driver.enqueue_in(message("delayed"), SECOND)
    assert await driver.cancel("q", "ready") is True
    assert await driver.cancel("q", "delayed") is True
    assert await driver.cancel("q", "leased") is False
    assert await driver.cancel("q", "ready") is False
    assert await driver.cancel("unheard-of", "ready") is False
    clock.advance(1)
    assert await take() == []
    await driver.ack(leased)

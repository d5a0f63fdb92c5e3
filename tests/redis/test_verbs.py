"""What each verb promises, as the contract says it; what it shares with other drivers is in the conformance suite."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from waybill.driver import OPTIONAL, BrokerUrl, Delivery, Message, UniqueKey
from waybill.drivers import open_driver
from waybill.errors import DeadReason, DuplicateJobError, LeaseLostError
from waybill_redis import RedisDriver

from .conftest import NOW, ids, passed

WHY = DeadReason("permanent", "no", 1, datetime(2026, 1, 1, tzinfo=UTC))


async def test_every_optional_verb_is_offered(driver):
    assert [each.__name__ for each in OPTIONAL if not isinstance(driver, each)] == []


async def test_a_url_opens_it(shared, prefix, message):
    driver = await asyncio.to_thread(open_driver, f"{shared.direct_url}?prefix={prefix}&lease=5s")
    await driver.open()
    assert isinstance(driver, RedisDriver)
    await driver.enqueue(message("a"))
    assert ids(await driver.receive("q", limit=1, wait=NOW)) == ["a"]
    assert driver.capabilities.lease == timedelta(seconds=5)
    await driver.close()


@pytest.mark.parametrize(
    "body",
    [bytes(range(256)) * 3, b"", b"\0", b"=", b"{", b"{}\n", b"12", b"\n", b"x" * 2_000_000],
    ids=lambda body: repr(body[:10]),  # pytest tells it to every child process
)
async def test_a_body_comes_back_byte_for_byte(driver, take, body):
    for extra in ({}, {"priority": 3}, {"headers": {"a": "b"}}):
        await driver.enqueue(Message(f"id{extra}", "q", body, **extra))
    assert [each.message.body for each in await take()] == [body] * 3


@pytest.mark.parametrize("text", ["ü", "a\0b", "\ud800", "12", "a:b", "{x}", "%", "a%00", " ", ""], ids=ascii)
async def test_any_text_may_be_an_id_a_group_or_a_key(driver, take, text):
    message = Message(text or "id", "q", b"{}", unique=UniqueKey(text, "done"), group=text, headers={"h": "x"})
    await driver.enqueue(message)
    (delivery,) = await take()
    assert delivery.message == message
    await driver.bury(delivery, WHY)
    assert (await driver.list_dead("q")).entries[0].message == message
    assert await driver.retry_dead("q", [message.id]) == 1
    (delivery,) = await take()
    assert delivery.attempt == 1
    await driver.ack(delivery)


async def test_groups_whose_names_begin_alike_do_not_mix(driver, take, message):
    for job_id, group in (("1", "a"), ("2", "a\0" + "0" * 20), ("3", "a"), ("4", "a\0" + "0" * 20), ("5", "a%00")):
        await driver.enqueue(message(job_id, group=group))
    first = await take()
    assert ids(first) == ["1", "2", "5"]
    await driver.ack(first[0])
    assert ids(await take()) == ["3"]


async def test_a_batch_of_5000_is_stored_and_received_in_parts(driver, message):
    batch = [(message(), None) for _ in range(5000)]
    assert await driver.enqueue_batch(batch) == [each.id for each, _ in batch]
    taken = await driver.receive("q", limit=5000, wait=NOW)
    assert ids(taken) == [each.id for each, _ in batch]
    assert set(await driver.ack_batch(taken)) == {None}
    assert (await driver.stats("q")).leased == 0


async def test_5000_of_one_batch_share_a_queue_and_its_order_with_other_queues(driver, message, take):
    batch = [(message(queue=queue), None) for _ in range(1500) for queue in "qp"]
    await driver.enqueue_batch(batch)
    assert ids(await take(2000)) == [each.id for each, _ in batch if each.queue == "q"]


async def test_large_messages_are_received_a_few_at_a_time(driver, message, take):
    await driver.enqueue_batch([(message(body=b"x" * 200_000), None) for _ in range(150)])
    some = await take(150)
    assert 0 < len(some) < 150
    assert len(await take(150)) == 150 - len(some)


async def test_a_repeated_id_stores_nothing_and_succeeds(driver, take, message):
    one = message("a", unique=UniqueKey("k", "done"))
    assert [await driver.enqueue(one), await driver.enqueue(one), await driver.enqueue_in(one, NOW)] == ["a"] * 3
    assert ids(await take()) == ["a"]


async def test_a_double_ack_is_a_lost_lease(driver, take, message):
    await driver.enqueue(message())
    (delivery,) = await take()
    await driver.ack(delivery)
    with pytest.raises(LeaseLostError):
        await driver.ack(delivery)
    first, second = await driver.ack_batch([delivery, delivery])
    assert isinstance(first, LeaseLostError) and isinstance(second, LeaseLostError)


async def test_one_delivery_twice_in_a_batch_is_settled_once(driver, take, message):
    await driver.enqueue_batch([(message(), None), (message(), None)])
    one, other = await take()
    first, second = await driver.ack_batch([one, one])
    assert first is None and isinstance(second, LeaseLostError)
    first, second = await driver.nack_batch([(other, NOW), (other, NOW)])
    assert first is None and isinstance(second, LeaseLostError)
    assert len(await take()) == 1


async def test_an_ack_after_the_own_nack_is_a_lost_lease(driver, take, message):
    await driver.enqueue(message())
    (delivery,) = await take()
    await driver.nack(delivery)
    for verb in (driver.ack, driver.nack, driver.extend, driver.release):
        with pytest.raises(LeaseLostError):
            await verb(delivery)
    assert (await driver.stats("q")).ready == 1


async def test_a_stale_receipt_harms_nobody(connect, message, take):
    driver = await connect(lease="50ms")
    await driver.enqueue(message())
    (stale,) = await take(by=driver)
    await passed(0.08)
    (fresh,) = await take(by=driver)
    assert fresh.attempt == 2
    for verb in (driver.ack, driver.nack, driver.extend, driver.release):
        with pytest.raises(LeaseLostError):
            await verb(stale)
    with pytest.raises(LeaseLostError):
        await driver.bury(stale, WHY)
    await driver.ack(fresh)
    assert (await driver.stats("q")) == (await driver.stats("empty"))


async def test_a_late_ack_is_honoured_until_somebody_else_has_the_job(connect, message, take):
    driver = await connect(lease="30ms")
    await driver.enqueue_batch([(message("a"), None), (message("b"), None)])
    a, b = await take(by=driver)
    await passed(0.05)
    assert (await driver.stats("q")).ready == 2
    await driver.ack(a)  # nobody has noticed yet
    await driver.receive("q", limit=0, wait=NOW)  # now somebody has
    await driver.extend(b)
    assert await take(by=driver) == []


async def test_a_job_received_again_with_the_same_id_place_and_attempt_has_another_token(driver, take, message):
    await driver.enqueue(message("a"))
    (stale,) = await take()
    await driver.ack(stale)
    await driver.enqueue(message("a"))
    (fresh,) = await take()
    assert (stale.message.id, stale.attempt) == (fresh.message.id, fresh.attempt)
    with pytest.raises(LeaseLostError):
        await driver.ack(stale)
    await driver.ack(fresh)


async def test_a_foreign_receipt_is_a_lost_lease(driver, message):
    for receipt in (None, 7, ("a", "b"), (b"", b"")):
        with pytest.raises(LeaseLostError):
            await driver.ack(Delivery(message(), 1, receipt))


async def test_a_release_spends_no_attempt(driver, take, message):
    await driver.enqueue(message())
    for _ in range(3):
        (delivery,) = await take()
        assert delivery.attempt == 1
        await driver.release(delivery)
    (delivery,) = await take()
    await driver.nack(delivery)
    assert [each.attempt for each in await take()] == [2]


async def test_a_clone_settles_the_deliveries_of_its_twin(driver, take, message):
    twin = driver.clone()
    await twin.open()
    await driver.enqueue_batch([(message(), None), (message(), None)])
    one, other = await take()
    assert (await twin.extend(one)).leased_until >= one.leased_until
    assert await twin.ack_batch([one, other]) == [None, None]
    await twin.close()


async def test_priority_survives_delay_nack_and_the_end_of_a_lease(connect, message, take):
    driver = await connect(lease="60ms")
    await driver.enqueue_in(message("high-delayed", priority=9), timedelta(milliseconds=20))
    await driver.enqueue(message("high-nacked", priority=8))
    await driver.nack((await take(1, by=driver))[0], delay=timedelta(milliseconds=20))
    await driver.enqueue(message("high-lost", priority=7))
    await take(1, by=driver)
    await driver.enqueue(message("low"))
    await passed(0.1)
    assert ids(await take(by=driver)) == ["high-delayed", "high-nacked", "high-lost", "low"]


async def test_a_unique_key_is_free_after_ack_bury_purge_and_cancel(driver, take, message):
    key = UniqueKey("k", "done")

    async def refused():
        with pytest.raises(DuplicateJobError) as error:
            await driver.enqueue(message("other", unique=key))
        assert (error.value.key, error.value.existing_job_id) == ("k", "holder")

    async def ack():
        await driver.ack((await take())[0])

    async def bury():
        await driver.bury((await take())[0], WHY)

    for end in (ack, bury, lambda: driver.purge("q"), lambda: driver.cancel("q", "holder")):
        await driver.enqueue_in(message("holder", unique=key), NOW)
        await refused()
        await end()
    await driver.enqueue_in(message("holder", unique=key), timedelta(hours=1))
    await refused()


async def test_a_window_outlives_the_ack_and_ends(driver, take, message):
    key = UniqueKey("k", "window", timedelta(milliseconds=120))
    await driver.enqueue(message("a", unique=key))
    await driver.ack((await take())[0])
    with pytest.raises(DuplicateJobError):
        await driver.enqueue(message("b", unique=key))
    await passed(0.13)
    await driver.enqueue(message("c", unique=key))


async def test_the_ends_of_windows_leave_nothing_behind(driver, take, redis, prefix, message):
    for number in range(30):
        await driver.enqueue(message(unique=UniqueKey(f"k{number}", "window", timedelta(milliseconds=1))))
    await passed(0.01)
    for number in range(4):
        await driver.enqueue(message(unique=UniqueKey(f"l{number}", "done")))
    await driver.ack_batch(await take())
    assert await redis.hlen(f"{prefix}:{{q}}:unique") == 0


async def test_a_settled_queue_leaves_nothing_but_its_counter_and_token(driver, take, redis, prefix, message):
    key = UniqueKey("k", "done")
    await driver.enqueue_batch([(message(group="g", unique=key), None), (message(group="g"), NOW), (message(), None)])
    while some := await take():
        await driver.ack_batch(some)
    left = {key.decode().rpartition(":")[2] for key in await redis.keys(f"{prefix}*")}
    assert left <= {"seq", "wake"}
    assert await driver.queues() == []


async def test_queues_whose_names_begin_alike_do_not_mix(driver, take, message):
    for queue in ("q", "q1", "q.dead", "Q"):
        await driver.enqueue(message(queue, queue=queue))
    assert await driver.queues() == ["Q", "q", "q.dead", "q1"]
    for queue in ("q", "q1", "q.dead", "Q"):
        assert ids(await take(queue=queue)) == [queue]


async def test_receive_many_takes_from_earlier_queues_first(driver, message):
    for queue in "bac":
        await driver.enqueue_batch([(message(queue=queue), None) for _ in range(2)])
    taken = await driver.receive_many(["a", "b", "c"], limit=5, wait=NOW)
    assert [each.message.queue for each in taken] == list("aabbc")


async def test_what_is_delayed_is_listed_by_pages_and_never_early(driver, take, message):
    start = datetime.now(UTC)
    for number in range(5):
        await driver.enqueue_at(message(f"d{number}"), start + timedelta(hours=5 - number))
    pages, after = [], None
    while True:
        page = await driver.list_delayed("q", after=after, limit=2)
        pages += [each.message.id for each in page.entries]
        after = page.next
        if after is None:
            break
    assert pages == ["d4", "d3", "d2", "d1", "d0"]
    assert await take() == []
    assert page.entries[-1].due == start + timedelta(hours=5)


async def test_a_moment_in_the_past_is_now_and_the_end_of_time_is_kept(driver, take, message):
    await driver.enqueue_at(message("past"), datetime(1969, 1, 1, tzinfo=UTC))
    await driver.enqueue_at(message("never"), datetime.max.replace(tzinfo=UTC))
    await driver.enqueue_in(message("nor"), timedelta.max)
    assert ids(await take()) == ["past"]
    assert len((await driver.list_delayed("q")).entries) == 2


async def test_100_000_due_at_once_hold_nobody_up(driver, message):
    due = timedelta(milliseconds=1)
    for _ in range(100):
        await driver.enqueue_batch([(message(body=b""), due) for _ in range(1000)])
    loop, slowest, taken = asyncio.get_running_loop(), 0.0, 0
    while taken < 5000:
        start = loop.time()
        taken += len(await driver.receive("q", limit=500, wait=NOW))
        slowest = max(slowest, loop.time() - start)
    assert slowest < 1
    assert await driver.purge("q") == 95_000


async def test_foreign_bytes_are_handed_out_as_they_are(driver, take, redis, prefix):
    entries = {b"one": b"not ours", b"\xff\xfe": b"{\xff\n", b"two": b'{"group": 1', b"three": b"[]\n"}
    for job_id, record in entries.items():
        await redis.hset(f"{prefix}:{{q}}:jobs", job_id, record)
        await redis.zadd(f"{prefix}:{{q}}:ready", {job_id: 0})
    await redis.zadd(f"{prefix}:{{q}}:ready", {"a ghost": 0})
    taken = await take()
    assert sorted(each.message.body for each in taken) == sorted(entries.values())
    await driver.bury(taken[0], WHY)
    assert await driver.ack_batch(taken[1:]) == [None] * 3
    assert (await driver.list_dead("q")).entries[0].message.body == taken[0].message.body
    assert await driver.retry_dead("q", None) == 1
    assert [each.message.body for each in await take()] == [taken[0].message.body]


async def test_a_client_that_is_ready_says_where_to_connect_to(redis, prefix, message):
    driver = RedisDriver(client=redis, prefix=prefix)
    await driver.open()
    await driver.enqueue(message("a"))
    assert ids(await driver.receive("q", limit=1, wait=NOW)) == ["a"]
    await driver.close()


async def test_the_claims_are_what_the_server_says(driver, connect):
    assert driver.capabilities.durability == "process"
    assert [note.level for note in await driver.diagnose() if note.level in ("warning", "error")] == []


def test_a_url_is_parsed_into_options():
    driver = RedisDriver.from_url(BrokerUrl.parse("redis://u:secret@h:7000/3?lease=5s&prefix=p&look=1s"))
    assert driver.options.prefix == "p"
    assert "secret" not in repr(driver) + repr(vars(driver))
    assert driver._address.arguments["db"] == 3

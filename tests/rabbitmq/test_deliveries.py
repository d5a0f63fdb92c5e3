"""Deliveries belong to their connection: what is settled, what comes back, and with which attempt."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from waybill.driver import DeadReason
from waybill.errors import BrokerUnavailableError, LeaseLostError
from waybill_rabbitmq.settle import Settle

from .conftest import NOW, SOON, again, by_hand, ids, start, take

FAILED = DeadReason("permanent", "it failed", 1, datetime(2026, 1, 1, tzinfo=UTC))


async def test_what_a_lost_connection_held_comes_back_and_old_receipts_stay_stale(shared, driver, message):
    """The server counts places on a channel from 1, so that the old receipts would fit the new deliveries."""
    for _ in range(3):
        await driver.enqueue(message())
    old = await take(driver, 3)
    shared.cut()
    await asyncio.sleep(0.1)
    new = await again(take, driver, 3)
    assert [each.receipt.place for each in new] == [each.receipt.place for each in old]
    assert {each.attempt for each in new} == {2}
    for each in old:
        for settle in (driver.ack, driver.nack, driver.release, driver.extend):
            with pytest.raises(LeaseLostError):
                await settle(each)
        with pytest.raises(LeaseLostError):
            await driver.bury(each, FAILED)
    assert await driver.ack_batch(new) == [None, None, None]
    assert await driver.receive("q", limit=3, wait=NOW) == []
    assert (await driver.stats("q")).dead == 0


async def test_a_second_ack_reaches_no_server_and_costs_no_other_delivery(shared, driver, message):
    """Over the wire it would close the channel, and all that the channel holds would go back."""
    await driver.enqueue(message())
    await driver.enqueue(message())
    first, second = await take(driver, 2)
    await driver.ack(first)
    for _ in range(3):
        with pytest.raises(LeaseLostError):
            await driver.ack(first)
    assert await driver.extend(second) is second
    await driver.ack(second)


async def test_a_release_spends_no_attempt_and_a_nack_does(driver, message):
    await driver.enqueue(message("a"))
    for attempt, give_back in ((1, driver.release), (1, driver.nack), (2, driver.release), (2, driver.release)):
        [got] = await take(driver)
        assert got.attempt == attempt
        await give_back(got)
    [got] = await take(driver)
    assert got.attempt == 2


async def test_what_a_receiver_changes_in_a_message_does_not_go_back(driver, message):
    await driver.enqueue(message(headers={"a": "1"}))
    [got] = await take(driver)
    got.message.headers["a"] = "2"
    await driver.release(got)
    [got] = await take(driver)
    assert got.message.headers == {"a": "1"}


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
async def test_attempts_count_on_over_any_number_of_nacks(connect, message, queue_type):
    """More than delivery_limit of them, at which the server would give the message up by itself."""
    driver = await connect(queue_type=queue_type, delivery_limit=4)
    await driver.enqueue(message("a"))
    for attempt in range(1, 13):
        [got] = await take(driver)
        assert got.attempt == attempt
        await driver.nack(got)
    [got] = await take(driver)
    await driver.ack(got)
    assert (await driver.stats("q")).dead == 0


async def test_attempts_count_on_over_vanished_holders_of_a_classic_queue(shared, connect, message):
    """The server tells of a message that it was out before, and not how often."""
    driver = await connect(queue_type="classic")
    await driver.enqueue(message("a"))
    for attempt in (1, 2, 3, 4):
        [got] = await again(take, driver)
        assert got.attempt == attempt
        shared.cut()
    [got] = await again(take, driver)
    await driver.ack(got)


async def test_the_same_delay_again_and_again_is_no_cycle(driver, message):
    """A copy that kept its x-death headers would be dropped by the server at its second turn."""
    await driver.enqueue(message("a"))
    for attempt in range(1, 8):
        [got] = await take(driver)
        assert got.attempt == attempt
        await driver.nack(got, delay=timedelta(milliseconds=100))
    [got] = await take(driver)
    assert got.attempt == 8


async def test_a_crash_between_the_two_steps_of_a_nack_leaves_two_copies_of_one_id(
    driver, connect, message, monkeypatch
):
    async def crash(self, some, end):
        raise OSError("crashed")

    await driver.enqueue(message("a"))
    [got] = await take(driver)
    with monkeypatch.context() as patch:
        patch.setattr(Settle, "_drop", crash)
        with pytest.raises(BrokerUnavailableError):
            await driver.nack(got, delay=timedelta(milliseconds=100))
    await driver.close()
    other = await connect()
    came = await take(other, 2)
    assert ids(came) == ["a", "a"]
    assert [each.attempt for each in came] == [2, 2]


async def test_a_job_whose_holders_vanish_is_given_up_by_the_server_and_kept_with_a_reason(shared, connect, message):
    driver = await connect(delivery_limit=3)
    await driver.enqueue(message("a"))
    for _ in range(4):
        await again(take, driver)
        shared.cut()
        await asyncio.sleep(0.2)
    for _ in range(50):
        page = await again(driver.list_dead, "q")
        if page.entries:
            break
        await asyncio.sleep(0.1)
    [letter] = page.entries
    assert (letter.message.id, letter.message.queue) == ("a", "q")
    assert letter.reason.code == "lease-expired"
    assert "delivery_limit" in letter.reason.error
    assert (datetime.now(UTC) - letter.reason.at).total_seconds() < 60
    assert await driver.retry_dead("q", None) == 1
    [got] = await take(driver)
    assert got.attempt == 1


@pytest.mark.blocks_the_loop
async def test_a_loop_that_is_blocked_for_two_heartbeats_loses_its_deliveries(connect, message):
    driver, other = await connect(heartbeat="1s"), await connect()
    await driver.enqueue(message("a"))
    [held] = await take(driver)
    time.sleep(4)
    with pytest.raises(LeaseLostError):
        await driver.extend(held)
    with pytest.raises(LeaseLostError):
        await driver.ack(held)
    [got] = await take(other)
    assert (got.message.id, got.attempt) == ("a", 2)
    await other.ack(got)
    await again(driver.enqueue, message("b"))


@pytest.fixture
def impatient():
    """A server that lets nobody hold a message for long."""
    with start(terms="{consumer_timeout, 1500}, {channel_tick_interval, 500}") as broker:
        yield broker


@pytest.mark.timeout(120)
async def test_a_job_that_is_held_for_longer_than_the_server_allows_is_lost_and_comes_back(impatient, connect, message):
    driver = await connect(impatient.url)
    for _ in range(3):
        await driver.enqueue(message())
    held = await take(driver, 2)
    async with asyncio.timeout(30):
        while True:
            try:
                await driver.extend(held[0])
            except LeaseLostError:
                break
            await asyncio.sleep(0.2)
    with pytest.raises(LeaseLostError):
        await driver.ack(held[1])
    got = await again(take, driver, 3)
    assert sorted(each.attempt for each in got) == [1, 2, 2]
    for each in got:
        await driver.ack(each)


async def test_a_queue_that_is_deleted_under_a_receiver_is_told_and_made_anew(shared, driver, prefix, message):
    await driver.enqueue(message("a"))
    [held] = await take(driver)
    waiting = asyncio.create_task(driver.receive("q", limit=1, wait=SOON))
    await asyncio.sleep(0.2)
    await by_hand(shared, lambda channel: channel.queue_delete(f"{prefix}.q"))
    with pytest.raises(BrokerUnavailableError):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(LeaseLostError):
        await driver.ack(held)
    assert await driver.enqueue(message("b")) == "b"
    assert ids(await take(driver)) == ["b"]


async def test_a_worker_that_asks_for_more_gets_more_beside_what_it_holds(driver, message):
    for _ in range(12):
        await driver.enqueue(message())
    held = await take(driver, 1)
    held += await take(driver, 1)
    held += await take(driver, 10)
    assert len(set(ids(held))) == 12
    assert await driver.ack_batch(held) == [None] * 12


async def test_what_arrives_while_a_consumer_is_replaced_spends_no_attempt(driver, connect, message):
    sender = await connect()
    held = []
    async with asyncio.TaskGroup() as group:
        group.create_task(sender.enqueue_batch([(message(), None) for _ in range(600)]))
        for limit in (1, 2, 4, 8, 16, 32, 64, 128, 256, 89):
            held += await take(driver, limit)
    assert len(set(ids(held))) == len(held) == 600
    assert {each.attempt for each in held} == {1}


async def test_a_receiver_that_has_gone_holds_nothing_that_others_could_have(driver, connect, message):
    """Also what the server pushes as acks make room: a worker that stops takes nothing along."""
    for _ in range(6):
        await driver.enqueue(message())
    held = await take(driver, 3)
    for each in held:
        await driver.ack(each)
    await asyncio.sleep(0.3)
    assert (await driver.stats("q")).ready == 3
    got = await take(await connect(), 3)
    assert {each.attempt for each in got} == {1}


async def come_for_nobody(driver, other, message):
    """Five messages come when the one who waited for them was cancelled; what another driver then gets."""
    waiting = asyncio.create_task(driver.receive("q", limit=50, wait=SOON))
    await asyncio.sleep(0.2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    for _ in range(5):
        await driver.enqueue(message())
    return await take(other, 5)


async def test_what_came_for_a_receiver_that_was_cancelled_goes_back(driver, connect, message):
    got = await come_for_nobody(driver, await connect(), message)
    assert sorted(ids(got)) == ["1", "2", "3", "4", "5"]
    assert max(each.attempt for each in got) <= 2


async def test_what_came_for_nobody_spends_no_attempt_on_a_classic_queue(connect, message):
    driver, other = [await connect(queue_type="classic") for _ in range(2)]
    got = await come_for_nobody(driver, other, message)
    assert sorted(ids(got)) == ["1", "2", "3", "4", "5"]
    assert {each.attempt for each in got} == {1}


async def test_a_prefetch_of_one_s_own_limits_what_is_pushed_and_not_what_is_had(connect, message):
    driver = await connect(prefetch=5)
    for _ in range(20):
        await driver.enqueue(message())
    held = await take(driver, 20)
    assert len(set(ids(held))) == 20


async def test_earlier_queues_go_first_and_no_queue_is_held_for_long(driver, connect, message):
    for queue in ("low", "high"):
        await driver.enqueue_batch([(message(queue=queue), None) for _ in range(20)])
    got = await driver.receive_many(["high", "low"], limit=10, wait=SOON)
    assert {each.message.queue for each in got} == {"high"}
    for _ in range(3):
        got += await driver.receive_many(["high", "low"], limit=5, wait=SOON)
    await asyncio.sleep(0.3)
    stats = [(await driver.stats(queue)).ready for queue in ("high", "low")]
    assert sum(stats) == 40 - len(got)
    assert len(await take(await connect(), stats[1], queue="low")) == stats[1]


async def test_a_single_active_consumer_is_one_at_a_time(connect, message):
    first, second = [await connect(single_active_consumer=True) for _ in range(2)]
    waiting = [asyncio.create_task(each.receive("q", limit=1, wait=SOON)) for each in (first, second)]
    await asyncio.sleep(0.3)
    await first.enqueue(message())
    await first.enqueue(message())
    done, left = await asyncio.wait(waiting, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    assert (await asyncio.wait(left, timeout=0.5))[0] == set()
    await (first if waiting[0] in done else second).close()
    await asyncio.wait(left, timeout=10)
    assert [len(each.result()) for each in left] == [1]


async def test_what_was_acked_just_before_closing_does_not_come_again(driver, connect, message):
    """A channel hands acks on to the queue no faster than they are written to disk, and forgets the rest at its end."""
    await driver.enqueue_batch([(message(), None) for _ in range(1500)])
    held = await take(driver, 1500)
    await asyncio.gather(*(driver.ack(each) for each in held[::-3]))
    await driver.close()
    other = await connect()
    assert not set(ids(await take(other, 1000))) & set(ids(held[::-3]))
    assert await other.receive("q", limit=1, wait=NOW) == []

"""Unique keys and state, which SQS has not and the table has."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from waybill.driver import KeepsState, UniqueKey
from waybill.errors import DuplicateJobError, EnqueueRejectedError
from waybill.testing import VirtualClock

from .conftest import TABLE

SOON = timedelta(seconds=5)
KEY = UniqueKey("k", "done")


@pytest.fixture
def clock():
    return VirtualClock(datetime.now(UTC))


async def test_without_a_table_neither_keys_nor_state_are_claimed(connect):
    plain, other = await connect(), await connect(table=TABLE)
    assert not plain.capabilities.unique.scopes
    assert not isinstance(plain, KeepsState)
    assert other.capabilities.unique.scopes == {"done", "start", "window"}
    assert isinstance(other, KeepsState)
    assert isinstance(other.clone(), KeepsState)


async def test_a_key_whose_sender_died_before_it_could_send_is_free_a_minute_later(connect, clock, faulty, message):
    dying, other = await connect(faulty.url, table=TABLE, clock=clock), await connect(table=TABLE, clock=clock)
    await dying.queue_url("q")
    faulty.swallow_answer("SendMessageBatch")
    faulty.fail("UpdateItem", "InternalServerError", status=500, times=5)  # and so it is never said that it was sent
    await asyncio.gather(dying.enqueue(message("a", unique=KEY)), return_exceptions=True)
    with pytest.raises(DuplicateJobError):
        await other.enqueue(message("b", unique=KEY))
    clock.advance("1m")
    clock.advance("1s")
    await other.enqueue(message("b", unique=KEY))


async def test_a_message_that_was_refused_holds_no_key(connect, faulty, message):
    driver = await connect(faulty.url, table=TABLE)
    await driver.queue_url("q")
    faulty.refuse_entries("SendMessageBatch", {0}, "InvalidMessageContents", sender_fault=True)
    with pytest.raises(EnqueueRejectedError):
        await driver.enqueue(message("a", unique=KEY))
    await driver.enqueue(message("b", unique=KEY))


async def test_a_key_until_done_is_free_after_the_retention_of_its_queue_whatever_became_of_its_message(
    connect, clock, message
):
    driver = await connect(table=TABLE, clock=clock)
    await driver.enqueue(message("a", unique=KEY))
    clock.advance("13d")
    with pytest.raises(DuplicateJobError):
        await driver.enqueue(message("b", unique=KEY))
    clock.advance("1d")
    clock.advance("1s")
    await driver.enqueue(message("b", unique=KEY))


async def test_fifty_that_want_one_key_at_once_in_four_drivers_are_one(connect, message):
    drivers = [await connect(table=TABLE) for _ in range(4)]
    calls = [drivers[number % 4].enqueue(message(str(number), unique=KEY)) for number in range(50)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, str) for each in outcomes) == 1
    assert sum(isinstance(each, DuplicateJobError) for each in outcomes) == 49
    assert len(await drivers[0].receive("q", limit=10, wait=timedelta(seconds=1))) == 1


async def test_two_applications_with_their_own_prefix_share_a_table(connect, message, prefix):
    one, other = await connect(table=TABLE), await connect(table=TABLE, prefix=f"{prefix}x")
    for driver in (one, other):
        await driver.enqueue(message("a", unique=KEY))
        assert await driver.state_put("k", b"v", expect=None)


async def test_a_purge_frees_the_keys_of_what_it_removes(connect, message):
    driver = await connect(table=TABLE)
    await driver.enqueue(message("a", unique=KEY))
    await driver.purge("q", force=True)
    await driver.enqueue(message("b", unique=KEY))


async def test_a_job_without_a_key_costs_the_table_nothing(connect, faulty, message):
    driver = await connect(faulty.url, table=TABLE)
    await driver.enqueue(message())
    [delivery] = await driver.receive("q", limit=1, wait=SOON)
    await driver.ack(delivery)
    assert not {"PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query"} & set(faulty.calls)


async def test_of_a_batch_that_wants_one_key_the_first_message_gets_it(connect, message):
    driver = await connect(table=TABLE)
    for number in range(5):
        key = UniqueKey(f"k{number}", "done")
        outcomes = await driver.enqueue_batch([(message(unique=key), None) for _ in range(8)])
        assert [isinstance(each, str) for each in outcomes] == [True] + [False] * 7

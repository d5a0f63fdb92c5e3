"""A unique key has one holder at a time, for as long as its scope says."""

from datetime import UTC, datetime, timedelta

import pytest

from waybill.driver import DeadReason, UniqueKey
from waybill.errors import DuplicateJobError

REASON = DeadReason("permanent", "", 1, datetime(2026, 1, 1, tzinfo=UTC))
SCOPES = {
    "done": UniqueKey("k", "done"),
    "start": UniqueKey("k", "start"),
    "window": UniqueKey("k", "window", timedelta(minutes=5)),
}


@pytest.fixture
def taken(driver, message):
    """Who holds the key, if somebody does."""

    async def taken(key="k", until="done", window=None, **fields):
        try:
            await driver.enqueue(message(unique=UniqueKey(key, until, window), **fields))
        except DuplicateJobError as error:
            assert error.key == key
            return error.existing_job_id
        return None

    return taken


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_second_job_with_the_key_is_refused_and_told_the_holder(driver, take, message, scope):
    await driver.enqueue(message("holder", unique=SCOPES[scope]))
    with pytest.raises(DuplicateJobError, match="Nothing was sent") as caught:
        await driver.enqueue(message(unique=SCOPES[scope]))
    assert (caught.value.key, caught.value.existing_job_id) == ("k", "holder")
    assert len(await take()) == 1


@pytest.mark.parametrize("scope", SCOPES)
async def test_the_key_comes_back_with_the_message(driver, take, message, scope):
    sent = message(unique=SCOPES[scope])
    await driver.enqueue(sent)
    assert [each.message for each in await take()] == [sent]


async def test_the_same_id_never_conflicts_with_itself(driver, take, message):
    same = message("same", unique=UniqueKey("k", "window", timedelta(hours=1)))
    await driver.enqueue(same)
    assert await driver.enqueue(same) == "same"
    await driver.ack((await take())[0])
    assert await driver.enqueue(same) == "same", "its own window"
    assert len(await take()) == 1


async def test_a_key_belongs_to_its_queue(driver, taken):
    assert await taken(queue="a") is None
    assert await taken(queue="b") is None
    assert await taken("other", queue="a") is None


async def test_a_batch_refuses_the_duplicates_alone(driver, take, message):
    batch = [(message(job_id, unique=SCOPES["done"]), None) for job_id in ("a", "b", "a")]
    batch.insert(1, (message("plain"), None))
    first, plain, duplicate, again = await driver.enqueue_batch(batch)
    assert (first, plain, again) == ("a", "plain", "a")
    assert isinstance(duplicate, DuplicateJobError)
    assert [each.message.id for each in await take()] == ["a", "plain"]


async def test_until_done_is_held_through_retries_until_the_ack(driver, take, taken, message, clock):
    await driver.enqueue(message("holder", unique=SCOPES["done"]))
    [delivery] = await take()
    assert await taken() == "holder"
    await driver.nack(delivery, delay=timedelta(seconds=1))
    assert await taken() == "holder"
    clock.advance(1)
    await driver.ack((await take())[0])
    assert await taken() is None


@pytest.mark.parametrize("end", ["bury", "cancel", "purge"])
async def test_until_done_ends_with_the_job_however_it_ends(driver, take, taken, message, end):
    await driver.enqueue(message("holder", unique=SCOPES["done"]))
    if end == "bury":
        await driver.bury((await take())[0], REASON)
    elif end == "cancel":
        await driver.cancel("q", "holder")
    else:
        await driver.purge("q")
    assert await taken() is None


async def test_a_window_caps_until_done(driver, take, taken, message, clock):
    await driver.enqueue(message("holder", unique=UniqueKey("k", "done", timedelta(minutes=1))))
    clock.advance("59s")
    assert await taken() == "holder"
    clock.advance("1s")
    assert await taken(job_id="second") is None
    await driver.ack((await take(1))[0])
    assert await taken() == "second", "the first no longer holds it, and does not free it"


async def test_until_start_is_free_once_received_and_never_taken_again(driver, take, taken, message):
    await driver.enqueue(message("holder", unique=SCOPES["start"]))
    assert await taken(until="start") == "holder"
    [delivery] = await take()
    assert await taken(until="start", job_id="second") is None
    await driver.nack(delivery)
    assert await taken(until="start") == "second"
    await driver.ack((await take(1))[0])
    assert await taken(until="start") == "second"


async def test_a_window_lasts_from_acceptance_whether_done_or_not(driver, take, taken, message, clock):
    await driver.enqueue(message("holder", unique=SCOPES["window"]))
    await driver.ack((await take())[0])
    clock.advance("299s")
    assert await taken() == "holder"
    clock.advance("1s")
    assert await taken() is None


async def test_a_retried_dead_letter_takes_its_key_again_if_that_is_free(driver, take, taken, message):
    await driver.enqueue(message("holder", unique=SCOPES["done"]))
    await driver.bury((await take())[0], REASON)
    await driver.retry_dead("q", None)
    assert await taken() == "holder"
    await driver.bury((await take())[0], REASON)
    assert await taken(job_id="second") is None
    assert await driver.retry_dead("q", ["holder"]) == 1, "it comes back without the key"
    assert await taken() == "second"
    assert [each.message.id for each in await take()] == ["second", "holder"]


async def test_keys_that_have_ended_do_not_pile_up(driver, taken, clock, path):
    for number in range(50):
        assert await taken(f"k{number}", "window", timedelta(seconds=10)) is None
        clock.advance(1)
    keys = await driver._database.writer.call(
        lambda store: store.execute("SELECT count(*) FROM unique_key").fetchone()[0]
    )
    assert keys <= 11

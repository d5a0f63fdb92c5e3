"""Messages on a real server: what JetStream does by itself, and what it must not be left to do."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from waybill.driver import DeadReason, UniqueKey
from waybill.errors import DuplicateJobError, LeaseLostError, PayloadTooLargeError
from waybill_nats.clock import ServerClock, moment
from waybill_nats.names import Names, key_text, key_token, token

from .conftest import NOW, client, everything, take

REASON = DeadReason("permanent", "no", 1, datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_message_for_a_cancelled_receiver_is_another_ones_at_once(connect, message):
    first, second = await connect(lease="60s"), await connect(lease="60s")
    for step in range(12):
        receiving = asyncio.ensure_future(first.receive("q", limit=1, wait=timedelta(seconds=20)))
        await asyncio.sleep(0.03)
        sending = asyncio.ensure_future(first.enqueue(message()))
        for _ in range(step):
            await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.wait([receiving])
        await sending
        got = [] if receiving.cancelled() else list(receiving.result())
        start = time.monotonic()
        got = got or await take(second, wait=timedelta(seconds=10))
        assert time.monotonic() - start < 9
        assert [each.attempt for each in got] == [1]
        await second.ack_batch(got)


async def test_what_a_stale_receiver_does_never_reaches_the_server(connect, message):
    """JetStream would take its ack for the new holder's, and hand the job to a third one on its nack."""
    first, second, third = [await connect(lease="1s") for _ in range(3)]
    await first.enqueue(message("a"))
    [stale] = await take(first)
    [held] = await take(second)
    for verb in (first.ack, first.nack, first.release, first.extend):
        with pytest.raises(LeaseLostError):
            await verb(stale)
    with pytest.raises(LeaseLostError):
        await first.bury(stale, REASON)
    assert await take(third, wait=timedelta(seconds=0.3)) == []
    await second.nack(held)
    [again] = await take(third)
    assert (again.message.id, again.attempt) == ("a", 3)
    assert (await third.list_dead("q")).entries == []


async def test_a_thousand_jobs_given_back_for_later_do_not_hold_up_fresh_ones(connect, message):
    driver = await connect(lease="60s")
    await driver.enqueue_batch([(message(), None) for _ in range(1000)])
    parked = 0
    while parked < 1000:
        got = await take(driver, limit=250)
        assert await driver.nack_batch([(each, timedelta(hours=1)) for each in got]) == [None] * len(got)
        parked += len(got)
    await driver.enqueue(message("fresh"))
    assert [each.message.id for each in await take(driver)] == ["fresh"]
    assert (await driver.stats("q")).delayed == 1000


@pytest.mark.parametrize("scheduler", ["park", "native"])
async def test_two_jobs_that_are_delayed_to_one_instant_both_come_and_neither_early(
    connect, modern, message, scheduler
):
    driver = await connect(modern.url, scheduler=scheduler)
    due = datetime.now(UTC) + timedelta(seconds=0.4)
    for name in ("a", "b"):
        await driver.enqueue_at(message(name), due)
    assert (await driver.stats("q")).delayed == 2
    assert set(await everything(driver, 2)) == {"a", "b"}
    assert datetime.now(UTC) >= due


async def test_of_fifty_racers_for_a_key_one_wins_and_the_key_is_free_after_ack_death_and_purge(connect, message):
    driver, other = await connect(), await connect()
    unique = UniqueKey("k", "done")

    async def race():
        calls = [(driver, other)[n % 2].enqueue(message(unique=unique)) for n in range(50)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        told = Counter(type(each) for each in outcomes)
        assert told == {str: 1, DuplicateJobError: 49}, outcomes
        [delivery] = await take(driver)
        return delivery

    await driver.ack(await race())
    await driver.bury(await race(), REASON)
    await driver.release(await race())
    assert await driver.purge("q") == 1
    await driver.ack(await race())


async def test_a_key_whose_holder_has_vanished_is_free_after_a_while(connect, message, shared, namespace):
    driver = await connect(timeout="300ms")
    unique = UniqueKey("k", "done")
    await driver.enqueue(message("holder", unique=unique))
    async with client(shared.url) as (_, api):
        assert (await api(f"STREAM.PURGE.{namespace}_q", filter=f"{namespace}.q.0.>"))["purged"] == 1
    with pytest.raises(DuplicateJobError):  # its sender might be about to store it
        await driver.enqueue(message("heir", unique=unique))
    await asyncio.sleep(0.7)
    await driver.enqueue(message("heir", unique=unique))


async def test_a_burial_that_ends_between_its_two_steps_leaves_one_dead_letter(connect, message, monkeypatch):
    driver, other = await connect(lease="1s"), await connect(lease="1s")
    await driver.enqueue(message("a"))
    [delivery] = await take(driver)
    ask = driver._parts.server.ask

    async def die(subject, data=b"", headers=None):
        if data == b"+ACK":
            raise asyncio.CancelledError  # as if the process had been killed
        return await ask(subject, data, headers)

    monkeypatch.setattr(driver._parts.server, "ask", die)
    with pytest.raises(asyncio.CancelledError):
        await driver.bury(delivery, REASON)
    [again] = await take(other)
    await other.bury(again, REASON)
    assert [each.message.id for each in (await other.list_dead("q")).entries] == ["a"]


async def test_a_second_nack_after_an_unknown_one_gives_back_one_message(connect, message, monkeypatch):
    driver = await connect(lease="60s")
    await driver.enqueue(message("a"))
    [delivery] = await take(driver)
    ask = driver._parts.server.ask

    async def fail(subject, data=b"", headers=None):
        if data == b"+ACK":
            raise OSError("cut")
        return await ask(subject, data, headers)

    with monkeypatch.context() as patch:
        patch.setattr(driver._parts.server, "ask", fail)
        [outcome] = await driver.nack_batch([(delivery, NOW)])
        assert outcome is not None
    await driver.nack(delivery)
    [again] = await take(driver)
    assert again.attempt == 2
    await driver.ack(again)
    assert await take(driver, wait=NOW) == []


async def test_the_same_id_twice_in_a_batch_is_stored_once(driver, message):
    one, other = message("a"), message("b")
    outcomes = await driver.enqueue_batch([(one, None), (other, None), (one, None)])
    assert outcomes[0] == outcomes[2] != outcomes[1]
    assert set(await everything(driver, 2)) == {"a", "b"}
    assert await take(driver, wait=NOW) == []


async def test_a_message_over_the_servers_limit_is_told_before_anything_is_sent(driver, message):
    from waybill import JobService, define_job

    limit = driver.capabilities.max_message_bytes
    job = define_job(name="send", handler=len, schema=str, queue="q")
    async with JobService(driver, jobs=[job], max_payload_bytes=2 * limit) as service:
        with pytest.raises(PayloadTooLargeError) as refused:
            await service.enqueue(job, "x" * limit)
    assert refused.value.limit == limit


async def test_a_queue_that_is_full_refuses_and_drops_nothing(connect, message):
    from waybill.errors import EnqueueRejectedError

    driver = await connect(max_jobs=5)
    outcomes = await driver.enqueue_batch([(message(), None) for _ in range(8)])
    refused = [each for each in outcomes if isinstance(each, EnqueueRejectedError)]
    assert len(refused) == 3
    assert "Nothing was stored" in str(refused[0])
    assert "max_jobs" in str(refused[0])
    assert len(await everything(driver, 5)) == 5
    await driver.enqueue(message())


async def test_names_and_keys_with_dots_blanks_and_wildcards_are_themselves(driver, message):
    names = ["a.b", "a.b.c", "a_b", "A.b", "a-b"]
    odd = ["*", ">", "a.>", "a b", "ä", "", "=", "x" * 300, "a\r\nb", "a=2Eb", "a.b"]
    for queue in names:
        for job_id in odd:
            await driver.enqueue(message(job_id or "empty", queue=queue, unique=UniqueKey(job_id, "done")))
    for queue in names:
        assert set(await everything(driver, len(odd), queue)) == {each or "empty" for each in odd}
    for key in odd:
        version = await driver.state_put(f"state {key}", key.encode(), expect=None)
        assert await driver.state_get(f"state {key}") == (key.encode(), version)
    assert set(names) <= set(await driver.queues())


def test_no_two_texts_have_one_name():
    texts = ["a", "A", "a.b", "a=2Eb", "a=b", "=", "", ".", "*", "x" * 201, "x" * 202, "=H", "ä", "\ud800"]
    assert len({token(each) for each in texts}) == len(texts)
    assert [key_text(key_token(each)) for each in texts] == texts
    names = Names("shop")
    assert [names.queue_of(names.stream(each)) for each in ("a.b", "a_b", "a")] == ["a.b", "a_b", "a"]
    assert names.queue_of(names.dead) is None
    assert names.queue_of("shopping_a") is None


def test_the_servers_time_lies_between_two_bounds_that_a_better_look_brings_together():
    clock, now = ServerClock(), time.monotonic()
    clock.saw("2026-01-01T00:00:10.000000001Z", now - 0.2, now)  # when it was told is not known better than to 0.2 s
    wide = clock.latest() - clock.earliest()
    clock.saw("2026-01-01T00:00:10.05Z", now - 0.01, now)
    assert wide >= 199_000
    assert 9_000 < clock.latest() - clock.earliest() < 20_000
    clock.saw("2025-12-31T23:00:00Z", now - 0.01, now)  # somebody has set the server's clock
    assert moment(clock.latest()).year == 2025

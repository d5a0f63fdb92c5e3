"""A unique key is held by one message of a queue, exactly as long as its scope says."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest

from waybill import JobService, Unique, define_job
from waybill.driver import Message, UniqueKey, UniqueScope
from waybill.errors import DuplicateJobError, UnsupportedError
from waybill.timing import ZERO

from ..bench import SLACK, TICK, Bench, Timer, ids
from ..case import proves, refuses
from ..claims import Claims
from .test_groups import HOUR, for_later
from .test_lease import timed
from .test_worker import service_of

WINDOW = timedelta(seconds=1)
LONG = timedelta(seconds=30)
DONE, START = UniqueKey("k", "done"), UniqueKey("k", "start")


def scope(name: UniqueScope) -> Callable[[Claims], bool]:
    return lambda claims: name in claims.unique.scopes


def each_scope(bench: Bench) -> list[UniqueKey]:
    """A key of every claimed scope that is held for a while."""
    scopes = sorted(bench.claims.unique.scopes)
    return [UniqueKey("k", each, LONG if each == "window" else None) for each in scopes]


async def send(bench: Bench, queue: str, unique: UniqueKey, delay: timedelta = ZERO) -> Message:
    """A message that takes the key."""
    message = bench.message(queue, unique=unique)
    await (bench.driver.enqueue_in(message, delay) if delay else bench.driver.enqueue(message))
    return message


async def held(bench: Bench, holder: Message, *, by: Any = None) -> None:
    """The key is held: another id is refused, or dropped where the broker says nothing."""
    assert holder.unique is not None
    second, driver = replace(holder, id=bench.message(holder.queue).id), by or bench.driver
    if not bench.claims.unique.reported:
        await driver.enqueue(second)
        return
    with pytest.raises(DuplicateJobError) as refusal:
        await driver.enqueue(second)
    assert refusal.value.key == holder.unique.key
    assert refusal.value.existing_job_id in (holder.id, None), "the error names another holder"


async def free(bench: Bench, queue: str, unique: UniqueKey) -> None:
    """The key is free: a message that wants it is stored, and nothing else waits."""
    sent = await send(bench, queue, unique)
    assert ids(await bench.drain(queue, 1)) == [sent.id], "a message was dropped, or a duplicate was kept"


async def freed_after(bench: Bench, queue: str, unique: UniqueKey, timer: Timer) -> None:
    """The key is held until the timer ends, and free soon after."""
    late = timer.duration + timedelta(seconds=0.5) * bench.harness.patience + bench.claims.delay_resolution
    while True:
        message = bench.message(queue, unique=unique)
        try:
            await bench.driver.enqueue(message)
            got = await bench.receive(queue, within=TICK)
        except DuplicateJobError:
            got = []
        if got:
            assert got[0].message.id == message.id or not bench.claims.unique.reported
            break
        assert timer.passed() <= late, f"the key is held after {timer.passed()}; its window was {timer.duration}"
        await bench.pass_time(TICK)
    assert timer.passed() >= timer.duration - SLACK, f"the key was free after {timer.passed()} of {timer.duration}"


# -- any scope -----------------------------------------------------------------------------------------


@proves("unique")
async def test_a_key_that_is_held_keeps_others_out(bench: Bench) -> None:
    for unique in each_scope(bench):
        queue, other = bench.queue(), await bench.open()
        holder = await send(bench, queue, unique)
        await held(bench, holder)
        await held(bench, holder, by=other)
        assert ids(await bench.drain(queue, 1)) == [holder.id]
    scopes = ", ".join(sorted(bench.claims.unique.scopes))
    bench.level(scopes if bench.claims.unique.reported else f"{scopes}; dropped silently")


@proves("unique")
async def test_a_key_belongs_to_one_queue(bench: Bench) -> None:
    for unique in each_scope(bench):
        first, second = bench.queue(), bench.queue()
        for queue in (first, second):
            await send(bench, queue, unique)
        for queue in (first, second):
            await bench.drain(queue, 1)


@proves("unique")
async def test_keys_are_told_apart_by_every_character(bench: Bench) -> None:
    for unique in each_scope(bench):
        queue, keys = bench.queue(), ["a", "A", "a ", " a", "a:b", "a.b", "*", "ä", "x" * 200, "x" * 201, "1", "01"]
        sent = [await send(bench, queue, replace(unique, key=key)) for key in keys]
        assert sorted(ids(await bench.drain(queue, len(keys)))) == sorted(each.id for each in sent)


@proves("unique")
async def test_messages_without_a_key_are_never_duplicates(bench: Bench) -> None:
    queue = bench.queue()
    holder = await send(bench, queue, each_scope(bench)[0])
    plain = await bench.put(queue, 3)
    assert sorted(ids(await bench.drain(queue, 4))) == sorted([holder.id, *plain])


@proves("unique")
async def test_an_id_never_conflicts_with_itself(bench: Bench) -> None:
    for unique in each_scope(bench):
        queue = bench.queue()
        message = await send(bench, queue, unique)
        await bench.driver.enqueue(message)
        await bench.driver.enqueue_in(message, timedelta(milliseconds=1))
        await bench.driver.ack(await bench.take(queue))
        await bench.driver.enqueue(message)


@proves("unique")
async def test_a_delayed_message_holds_its_key(bench: Bench) -> None:
    for unique in each_scope(bench):
        queue, delay = bench.queue(), timedelta(seconds=0.3)
        holder = await send(bench, queue, unique, delay)
        await held(bench, holder)
        if bench.claims.unique.reported:
            with pytest.raises(DuplicateJobError):
                await send(bench, queue, unique, delay)
        await bench.pass_time(delay)
        assert ids(await bench.drain(queue, 1)) == [holder.id]


@proves("unique")
async def test_of_fifty_that_want_one_key_at_once_one_is_stored(bench: Bench) -> None:
    for unique in each_scope(bench):
        queue, other = bench.queue(), await bench.open()
        messages = [bench.message(queue, unique=unique) for _ in range(50)]
        calls = [(other if place % 2 else bench.driver).enqueue(each) for place, each in enumerate(messages)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        [winner] = await bench.drain(queue, 1)
        refused = [each for each in outcomes if not isinstance(each, str)]
        assert len(refused) == (49 if bench.claims.unique.reported else 0)
        for each in refused:
            assert isinstance(each, DuplicateJobError), repr(each)
            assert each.existing_job_id in (winner.message.id, None)


@proves("unique", "EnqueuesBatches")
async def test_a_duplicate_in_a_batch_is_told_in_its_place_and_the_others_are_stored(bench: Bench) -> None:
    for unique in each_scope(bench):
        queue = bench.queue()
        before = await send(bench, queue, replace(unique, key="before"))
        first, plain, other = (bench.message(queue, unique=each) for each in (unique, None, replace(unique, key="o")))
        again, repeated = replace(first, id=f"{first.id}-again"), replace(before, id=f"{before.id}-again")
        items = [(each, None) for each in (first, repeated, plain, again, other)]
        outcomes = await bench.driver.enqueue_batch(items)
        told = [isinstance(each, DuplicateJobError) for each in outcomes]
        reported = bench.claims.unique.reported
        assert told == [False, reported, False, reported, False]
        stored = [before.id, first.id, plain.id, other.id]
        assert sorted(ids(await bench.drain(queue, 4))) == sorted(stored)


@proves("unique")
async def test_a_duplicate_does_not_disturb_the_holder(bench: Bench) -> None:
    for unique in each_scope(bench):
        queue = bench.queue()
        holder = await send(bench, queue, unique)
        second = replace(holder, id=f"{holder.id}-2", body=b'{"jobName":"second"}', headers={"second": "yes"})
        for _ in range(2):
            try:
                await bench.driver.enqueue_in(second, timedelta(milliseconds=1))
            except DuplicateJobError as error:
                assert error.existing_job_id in (holder.id, None), "the refused one has become the holder"
        [got] = await bench.drain(queue, 1)
        assert (got.message.id, got.message.body, dict(got.message.headers)) == (holder.id, holder.body, {})
        await bench.nothing(queue, during=timedelta(seconds=0.2))


# -- until it is done ----------------------------------------------------------------------------------


@proves("unique", given=scope("done"))
async def test_a_key_until_done_is_kept_while_the_message_is_leased_and_freed_by_the_ack(bench: Bench) -> None:
    queue = bench.queue()
    holder = await send(bench, queue, DONE)
    delivery = await bench.take(queue)
    await held(bench, holder)
    await bench.nothing(queue)
    await bench.driver.ack(delivery)
    await free(bench, queue, DONE)


@proves("unique", given=scope("done"))
async def test_a_key_until_done_is_kept_over_a_nack(bench: Bench) -> None:
    queue = bench.queue()
    holder = await send(bench, queue, DONE)
    await bench.driver.nack(await bench.take(queue))
    await held(bench, holder)
    delay = for_later(bench, timedelta(seconds=0.3))
    await bench.driver.nack(await bench.take(queue), delay=delay)
    await held(bench, holder)
    await bench.pass_time(delay)
    [again] = await bench.drain(queue, 1)
    await held(bench, holder)
    await bench.driver.ack(again)
    await free(bench, queue, DONE)


@proves("unique", "Releases", given=scope("done"))
async def test_a_key_until_done_is_kept_over_a_release(bench: Bench) -> None:
    queue = bench.queue()
    holder = await send(bench, queue, DONE)
    await bench.driver.release(await bench.take(queue))
    await held(bench, holder)
    assert ids(await bench.drain(queue, 1)) == [holder.id]


@proves("unique", "lease", given=lambda claims: scope("done")(claims) and timed(claims))
async def test_a_key_until_done_is_kept_over_the_end_of_a_lease(bench: Bench) -> None:
    queue = bench.queue()
    holder = await send(bench, queue, DONE)
    await bench.take(queue)
    await bench.pass_time(bench.lease + bench.claims.delay_resolution)
    await held(bench, holder)
    again = await bench.take(queue)
    await held(bench, holder)
    await bench.driver.ack(again)
    await free(bench, queue, DONE)


@proves("unique", "AcksBatches", given=scope("done"))
async def test_a_batch_of_acks_frees_the_keys(bench: Bench) -> None:
    queue, keys = bench.queue(), [replace(DONE, key=each) for each in "abc"]
    for each in keys:
        await send(bench, queue, each)
    await bench.driver.ack_batch(await bench.drain(queue, 3))
    for each in keys:
        await free(bench, queue, each)


@proves("unique", "Buries", given=scope("done"))
async def test_a_dead_letter_holds_no_key(bench: Bench) -> None:
    queue = bench.queue()
    await send(bench, queue, DONE)
    await bench.driver.bury(await bench.take(queue), bench.reason())
    await free(bench, queue, DONE)


@proves("unique", "Buries", "ReadsDeadLetters", given=scope("done"))
async def test_a_dead_letter_whose_key_is_taken_is_not_lost_when_it_is_sent_back(bench: Bench) -> None:
    queue = bench.queue()
    dead = await send(bench, queue, DONE)
    await bench.driver.bury(await bench.take(queue), bench.reason())
    holder = await send(bench, queue, DONE)
    await bench.driver.retry_dead(queue, None)
    waiting = ids(await bench.receive(queue, limit=2, within=timedelta(seconds=0.5)))
    kept = [each.message.id for each in (await bench.driver.list_dead(queue)).entries]
    assert holder.id in waiting
    assert dead.id in waiting + kept, "it is neither sent nor kept"


@proves("unique", "Cancels", given=scope("done"))
async def test_a_cancelled_message_holds_no_key(bench: Bench) -> None:
    for delay in (ZERO, LONG):
        queue = bench.queue()
        holder = await send(bench, queue, DONE, delay)
        assert await bench.driver.cancel(queue, holder.id)
        await free(bench, queue, DONE)


@proves("unique", "Purges", given=lambda claims: scope("done")(claims) and claims.purge == "all")
async def test_a_purge_frees_the_keys_of_what_it_removes_and_no_others(bench: Bench) -> None:
    queue = bench.queue()
    leased = await send(bench, queue, replace(DONE, key="leased"))
    await bench.take(queue)
    await send(bench, queue, DONE)
    await send(bench, queue, replace(DONE, key="delayed"), LONG)
    await bench.driver.purge(queue)
    await free(bench, queue, DONE)
    await free(bench, queue, replace(DONE, key="delayed"))
    await held(bench, leased)
    await bench.nothing(queue)


@proves("unique", given=scope("done"))
async def test_a_window_caps_a_key_until_done(bench: Bench) -> None:
    queue, unique = bench.queue(), UniqueKey("k", "done", WINDOW)
    timer = bench.timer(WINDOW)
    await send(bench, queue, unique, LONG)
    await freed_after(bench, queue, unique, timer)


@proves("unique", given=scope("done"))
async def test_an_ack_frees_a_key_before_its_window_ends(bench: Bench) -> None:
    queue, unique = bench.queue(), UniqueKey("k", "done", LONG)
    holder = await send(bench, queue, unique)
    delivery = await bench.take(queue)
    await held(bench, holder)
    await bench.driver.ack(delivery)
    await free(bench, queue, unique)


@proves("unique", given=scope("done"))
async def test_a_message_whose_window_has_ended_does_not_free_the_key_of_the_next(bench: Bench) -> None:
    queue, window = bench.queue(), timedelta(seconds=0.5)
    await send(bench, queue, UniqueKey("k", "done", window))
    first = await bench.take(queue)
    await bench.pass_time(window + timedelta(seconds=0.2))
    second = await send(bench, queue, DONE)
    await bench.driver.ack(first)
    await held(bench, second)
    assert ids(await bench.drain(queue, 1)) == [second.id]


# -- until it starts -----------------------------------------------------------------------------------


@proves("unique", given=scope("start"))
async def test_a_key_until_start_is_freed_by_the_first_receive(bench: Bench) -> None:
    queue = bench.queue()
    holder = await send(bench, queue, START)
    await held(bench, holder)
    await bench.drain(queue, 1)
    await free(bench, queue, START)


@proves("unique", given=scope("start"))
async def test_a_key_until_start_is_not_taken_again_by_a_nack(bench: Bench) -> None:
    queue = bench.queue()
    first = await send(bench, queue, START)
    await bench.driver.nack(await bench.take(queue))
    second = await send(bench, queue, START)
    await held(bench, second)
    assert sorted(ids(await bench.drain(queue, 2))) == sorted([first.id, second.id])


@proves("unique", given=scope("start"))
async def test_a_message_that_has_started_does_not_free_the_key_of_the_next(bench: Bench) -> None:
    queue, delay = bench.queue(), timedelta(seconds=0.4)
    await send(bench, queue, START)
    delivery = await bench.take(queue)
    second = await send(bench, queue, START, delay)
    await bench.driver.nack(delivery)
    delivery = await bench.take(queue)
    await held(bench, second)
    await bench.driver.ack(delivery)
    await held(bench, second)
    await bench.pass_time(delay)
    assert ids(await bench.drain(queue, 1)) == [second.id]


@proves("unique", "Cancels", given=scope("start"))
async def test_a_message_cancelled_before_its_start_holds_no_key(bench: Bench) -> None:
    queue = bench.queue()
    holder = await send(bench, queue, START, LONG)
    assert await bench.driver.cancel(queue, holder.id)
    await free(bench, queue, START)


# -- for a window --------------------------------------------------------------------------------------


@proves("unique", given=scope("window"))
async def test_a_window_lasts_exactly_as_long_as_asked(bench: Bench) -> None:
    queue, unique = bench.queue(), UniqueKey("k", "window", WINDOW)
    timer = bench.timer(WINDOW)
    await send(bench, queue, unique)
    await bench.driver.ack(await bench.take(queue))
    await freed_after(bench, queue, unique, timer)


@proves("unique", given=scope("window"))
async def test_a_window_runs_from_acceptance_whatever_becomes_of_the_message(bench: Bench) -> None:
    queue, unique = bench.queue(), UniqueKey("k", "window", WINDOW)
    timer = bench.timer(WINDOW)
    await send(bench, queue, unique)
    await bench.pass_time(WINDOW * 0.3)
    await bench.driver.nack(await bench.take(queue), delay=for_later(bench, HOUR))
    await freed_after(bench, queue, unique, timer)


@proves("unique", given=scope("window"))
async def test_the_window_of_a_delayed_message_does_not_wait_for_its_time(bench: Bench) -> None:
    queue, unique = bench.queue(), UniqueKey("k", "window", WINDOW)
    timer = bench.timer(WINDOW)
    await send(bench, queue, unique, LONG)
    await freed_after(bench, queue, unique, timer)


@proves("unique", "Cancels", given=scope("window"))
async def test_a_cancelled_message_leaves_its_window_running(bench: Bench) -> None:
    queue = bench.queue()
    holder = await send(bench, queue, UniqueKey("k", "window", LONG))
    assert await bench.driver.cancel(queue, holder.id)
    await held(bench, holder)
    await bench.nothing(queue)


@proves("unique", given=scope("window"))
async def test_windows_of_different_length_end_each_at_its_time(bench: Bench) -> None:
    queue, short, long = bench.queue(), UniqueKey("short", "window", WINDOW * 0.5), UniqueKey("long", "window", WINDOW)
    timers = [bench.timer(WINDOW * 0.5), bench.timer(WINDOW)]
    for each in (long, short):
        await send(bench, queue, each)
    for delivery in await bench.drain(queue, 2):
        await bench.driver.ack(delivery)
    await freed_after(bench, queue, short, timers[0])
    await freed_after(bench, queue, long, timers[1])


# -- what is not kept ----------------------------------------------------------------------------------


async def refuse_scopes(bench: Bench, *scopes: UniqueScope) -> None:
    queue = bench.queue()
    async with service_of(bench) as service:
        for each in scopes:
            unique = Unique(key=lambda payload: "k", until=each, window=WINDOW)
            job = define_job(name=each, handler=lambda: None, queue=queue, unique=unique)
            with pytest.raises(UnsupportedError):
                await service.enqueue(job)
        assert not bench.asked, "the broker was asked"
    bench.driver = await bench.open()
    await bench.nothing(queue)


@refuses("unique")
async def test_a_unique_key_is_refused_where_none_is_kept(bench: Bench) -> None:
    await refuse_scopes(bench, *get_args(UniqueScope))


@proves("unique", given=lambda claims: claims.unique.scopes != set(get_args(UniqueScope)))
async def test_a_scope_that_is_not_kept_is_refused(bench: Bench) -> None:
    await refuse_scopes(bench, *(set(get_args(UniqueScope)) - bench.claims.unique.scopes))


@proves("unique", given=lambda claims: not claims.unique.reported)
async def test_a_job_that_must_know_of_duplicates_is_refused_where_they_are_dropped_silently(bench: Bench) -> None:
    queue, until = bench.queue(), min(bench.claims.unique.scopes)
    unique = Unique(key=lambda payload: "k", until=until, window=WINDOW, on_conflict="raise")
    job = define_job(name="send", handler=lambda: None, queue=queue, unique=unique)
    service = JobService(bench.driver, jobs=[job], clock=bench.harness.clock)
    await service.open()
    try:
        with pytest.raises(UnsupportedError):
            service.check()
    finally:
        await service.close()
    bench.driver = await bench.open()
    await bench.nothing(queue)

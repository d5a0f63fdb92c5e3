"""Nothing starts before its time, and what is due comes."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

from ..bench import SLACK, SOON, Bench, ids
from ..case import proves
from ..claims import Claims

YEAR = timedelta(days=365)


def longest(bench: Bench, wish: timedelta) -> timedelta:
    """As much of a delay as the driver claims to keep."""
    limit = bench.claims.max_delay
    return wish if limit is None else min(wish, limit)


def until_nearly(bench: Bench, due: datetime) -> timedelta:
    """What is left of the time before this moment, but for a little; sending may have taken some of it."""
    return max(due - bench.now() - timedelta(milliseconds=150), timedelta())


def limited(claims: Claims) -> bool:
    return claims.max_delay is not None


@proves("max_delay")
async def test_a_delayed_message_comes_when_it_is_due_and_not_before(bench: Bench) -> None:
    delays = [timedelta(seconds=0.5), timedelta(seconds=1.9)] + [timedelta(seconds=60.7)] * bench.virtual
    for delay in (longest(bench, each) for each in delays):
        queue = bench.queue()
        timer = bench.timer(delay)
        await bench.driver.enqueue_in(bench.message(queue), delay)
        await bench.nothing(queue, during=max(timer.left() - timedelta(milliseconds=150), timedelta()))
        delivery = await bench.take(
            queue, within=timedelta(milliseconds=150) + bench.claims.delay_resolution + bench.soon
        )
        assert timer.passed() >= delay - SLACK, f"a delay of {delay} was over after {timer.passed()}"
        assert delivery.attempt == 1
    bench.level("observed to", longest(bench, delays[-1]))


@proves("max_delay")
async def test_a_message_for_a_moment_comes_at_that_moment(bench: Bench) -> None:
    queue = bench.queue()
    due = bench.now() + longest(bench, timedelta(seconds=1.2))
    await bench.driver.enqueue_at(bench.message(queue), due)
    await bench.nothing(queue, during=until_nearly(bench, due))
    await bench.take(queue, within=timedelta(seconds=0.4) + bench.claims.delay_resolution + bench.soon)
    assert bench.now() >= due - SLACK, f"it was due at {due} and came at {bench.now()}"


@proves("max_delay")
async def test_the_zone_of_a_moment_does_not_matter(bench: Bench) -> None:
    """Nepal, the International Date Line, and an hour that happens twice: each is one instant."""
    queue = bench.queue()
    due = bench.now() + longest(bench, timedelta(seconds=1.2))
    zones = [timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-12)), timezone(timedelta(hours=14))]
    for zone in zones:
        await bench.driver.enqueue_at(bench.message(queue), due.astimezone(zone))
    await bench.nothing(queue, during=until_nearly(bench, due))
    assert len(await bench.receive(queue, limit=len(zones))) == len(zones)
    assert bench.now() >= due - SLACK


@proves("max_delay")
async def test_a_moment_in_the_past_and_no_delay_are_now(bench: Bench) -> None:
    queue = bench.queue()
    await bench.driver.enqueue_at(bench.message(queue), bench.now() - timedelta(days=1))
    await bench.driver.enqueue_at(bench.message(queue), datetime(1999, 12, 31, tzinfo=UTC))
    await bench.driver.enqueue_in(bench.message(queue), timedelta())
    await bench.drain(queue, 3)


@proves("max_delay")
async def test_a_short_delay_does_not_wait_behind_a_long_one(bench: Bench) -> None:
    queue = bench.queue()
    slow, quick = bench.message(queue), bench.message(queue)
    await bench.driver.enqueue_in(slow, longest(bench, timedelta(minutes=10)))
    await bench.driver.enqueue_in(quick, timedelta(seconds=0.3))
    await bench.pass_time(timedelta(seconds=0.3))
    assert ids([await bench.take(queue)]) == [quick.id]


@proves("max_delay")
async def test_a_delayed_message_does_not_hold_up_one_for_now(bench: Bench) -> None:
    queue = bench.queue()
    await bench.driver.enqueue_in(bench.message(queue), longest(bench, timedelta(minutes=10)))
    [sent] = await bench.put(queue)
    assert ids(await bench.drain(queue, 1)) == [sent]


@proves("max_delay", given=limited)
async def test_the_longest_delay_is_accepted_and_not_early(bench: Bench) -> None:
    queue, limit = bench.queue(), bench.claims.max_delay
    await bench.driver.enqueue_in(bench.message(queue), limit)
    await bench.nothing(queue, during=timedelta(seconds=0.5))
    bench.level("accepted at", limit)


@proves("max_delay", given=lambda claims: not limited(claims))
async def test_a_delay_of_any_length_is_accepted_and_not_early(bench: Bench) -> None:
    """2**31 and 2**32 milliseconds and 2**31 seconds are where numbers have wrapped around before."""
    queue = bench.queue()
    wraps = [
        timedelta(milliseconds=2**31),
        timedelta(milliseconds=2**32),
        timedelta(seconds=2**31 - bench.now().timestamp()),
    ]
    far = [each + timedelta(seconds=1) for each in wraps] + [YEAR, 10 * YEAR]
    for delay in far:
        await bench.driver.enqueue_in(bench.message(queue), delay)
        await bench.driver.enqueue_at(bench.message(queue), bench.now() + delay)
    await bench.nothing(queue, during=timedelta(seconds=0.5))
    bench.level("accepted at 10 years")


@proves("max_delay", given=lambda claims: not limited(claims), power="clock")
async def test_a_delay_of_a_year_is_over_after_a_year(bench: Bench) -> None:
    queue = bench.queue()
    await bench.driver.enqueue_in(bench.message(queue), YEAR)
    await bench.pass_time(YEAR - timedelta(seconds=1))
    await bench.nothing(queue)
    await bench.pass_time(timedelta(seconds=2))
    await bench.drain(queue, 1)


@proves("delay_resolution")
async def test_a_delay_finer_than_the_resolution_is_late_rather_than_early(bench: Bench) -> None:
    grain = bench.claims.delay_resolution
    delay = longest(bench, max(grain * 1.5, timedelta(milliseconds=250)))
    queue, timer = bench.queue(), bench.timer(delay)
    await bench.driver.enqueue_in(bench.message(queue), delay)
    await bench.take(queue, within=delay + grain + bench.soon)
    assert timer.passed() >= delay - SLACK, f"a delay of {delay} was over after {timer.passed()}"


@proves("delay_resolution", given=lambda claims: claims.delay_resolution <= SOON)
async def test_a_delay_is_no_later_than_its_resolution_and_a_budget(bench: Bench) -> None:
    queue, delay = bench.queue(), longest(bench, timedelta(seconds=0.4))
    timer = bench.timer(delay)
    await bench.driver.enqueue_in(bench.message(queue), delay)
    waiting = bench.driver.receive(queue, limit=1, wait=timedelta(minutes=1))
    assert await bench.ended(waiting, within=delay + bench.claims.delay_resolution + bench.soon)
    if not bench.virtual:
        bench.level("late by", max(timer.passed() - delay, timedelta()))


@proves("max_delay")
async def test_a_blocked_receive_wakes_for_what_becomes_due(bench: Bench) -> None:
    queue = bench.queue()
    waiting = await bench.begun(bench.driver.receive(queue, limit=1, wait=timedelta(minutes=1)))
    timer = bench.timer(timedelta(seconds=0.6))
    message = bench.message(queue)
    await bench.driver.enqueue_in(message, timer.duration)
    got = await bench.ended(waiting, within=timer.duration + bench.claims.delay_resolution + bench.soon)
    assert ids(got) == [message.id]
    assert timer.passed() >= timer.duration - SLACK


@proves("max_delay", "concurrency")
async def test_many_that_are_due_at_one_instant_all_come_once(bench: Bench) -> None:
    queue, count = bench.queue(), 200
    due = bench.now() + timedelta(seconds=1)
    sent = [bench.message(queue) for _ in range(count)]
    await asyncio.gather(*(bench.driver.enqueue_at(each, due) for each in sent))
    await bench.pass_time(max(due - bench.now(), timedelta()))
    assert sorted(ids(await bench.drain(queue, count))) == sorted(each.id for each in sent)


@proves("max_nack_delay")
async def test_a_message_given_back_for_later_is_not_early(bench: Bench) -> None:
    limit = bench.claims.max_nack_delay
    delay = timedelta(seconds=0.9) if limit is None else min(timedelta(seconds=0.9), limit)
    queue = bench.queue()
    [sent] = await bench.put(queue)
    delivery = await bench.take(queue)
    timer = bench.timer(delay)
    await bench.driver.nack(delivery, delay=delay)
    await bench.nothing(queue, during=max(timer.left() - timedelta(milliseconds=150), timedelta()))
    again = await bench.take(queue, within=delay + bench.soon)
    assert timer.passed() >= delay - SLACK, f"given back for {delay}, it came after {timer.passed()}"
    assert (again.message.id, again.attempt) == (sent, 2)


@proves("max_nack_delay")
async def test_the_longest_delay_of_a_nack_is_kept(bench: Bench) -> None:
    """It may outlive the lease by far: the lease ended with the nack."""
    limit = bench.claims.max_nack_delay
    delay = timedelta(days=30) if limit is None else limit
    queue = bench.queue()
    await bench.put(queue)
    await bench.driver.nack(await bench.take(queue), delay=delay)
    await bench.nothing(queue, during=min((bench.claims.lease or timedelta(seconds=1)) * 1.2, delay * 0.8))
    bench.level("accepted at", delay)

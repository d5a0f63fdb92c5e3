"""Of a group, one job at a time, in the order of their enqueue."""

from datetime import UTC, datetime, timedelta

import pytest

from waybill.driver import DeadReason, QueueStats

REASON = DeadReason("permanent", "", 1, datetime(2026, 1, 1, tzinfo=UTC))
SECOND = timedelta(seconds=1)


def ids(deliveries):
    return [delivery.message.id for delivery in deliveries]


@pytest.fixture
async def three(driver, message):
    """1, 2 and 3 of a group, and x of none."""
    await driver.enqueue_batch([(message(group="g"), None) for _ in range(3)])
    await driver.enqueue(message("x"))


async def test_only_the_head_of_a_group_is_handed_out(driver, take, three):
    assert ids(await take()) == ["1", "x"]
    assert await take() == []


async def test_groups_do_not_wait_for_each_other(driver, take, message, three):
    await driver.enqueue(message("h", group="h"))
    await driver.enqueue(message("other queue", queue="r", group="g"))
    assert ids(await take()) == ["1", "x", "h"]
    assert ids(await take(queue="r")) == ["other queue"]


async def test_the_next_comes_forward_when_the_head_is_done(driver, take, three):
    for expected in ("1", "2", "3"):
        [head, *_] = await take()
        assert head.message.id == expected
        await driver.ack(head)
    assert (await driver.stats("q")).ready == 0


async def test_a_group_goes_in_the_order_it_was_sent_whatever_the_priorities(driver, take, message):
    for number, priority in enumerate((0, 3, 9, 5)):
        await driver.enqueue(message(f"p{number}", group="g", priority=priority))
    for expected in ("p0", "p1", "p2", "p3"):
        [head] = await take()
        assert head.message.id == expected
        await driver.ack(head)


async def test_the_next_comes_forward_when_the_head_is_buried(driver, take, three):
    await driver.bury((await take())[0], REASON)
    assert ids(await take()) == ["2"]


async def test_the_next_comes_forward_when_a_waiting_head_is_cancelled(driver, take, three):
    assert await driver.cancel("q", "1")
    assert ids(await take()) == ["2", "x"]


async def test_cancelling_one_behind_changes_nothing_for_the_others(driver, take, three):
    assert await driver.cancel("q", "2")
    [head, _] = await take()
    assert await take() == []
    await driver.ack(head)
    assert ids(await take()) == ["3"]


async def test_a_retried_head_keeps_its_group_waiting(driver, take, three, clock):
    [head, _] = await take()
    await driver.nack(head, delay=SECOND)
    assert await take() == []
    clock.advance(1)
    [head] = await take()
    assert (head.message.id, head.attempt) == ("1", 2)


async def test_a_head_whose_lease_ran_out_comes_again_before_the_others(driver, take, three, clock):
    await take()
    clock.advance("61s")
    assert ids(await take()) == ["1", "x"]


async def test_a_released_head_that_was_never_begun_lets_the_others_pass_until_it_is_due(driver, take, three, clock):
    [head, _] = await take()
    await driver.release(head, delay=SECOND)
    [second] = await take()
    assert second.message.id == "2"
    clock.advance(1)
    assert await take() == [], "one at a time"
    await driver.ack(second)
    assert ids(await take()) == ["1"], "it has its place again, before the third"


async def test_a_released_head_that_was_begun_before_keeps_its_group_waiting(driver, take, three, clock):
    [head, _] = await take()
    await driver.nack(head)
    [head] = await take()
    await driver.release(head, delay=SECOND)
    assert await take() == []
    clock.advance(1)
    assert [(each.message.id, each.attempt) for each in await take()] == [("1", 2)]


async def test_a_delayed_member_joins_its_group_when_it_is_due(driver, take, message, clock):
    await driver.enqueue_in(message("late", group="g"), SECOND)
    await driver.enqueue(message("first", group="g"))
    await driver.enqueue(message("second", group="g"))
    [first] = await take()
    assert first.message.id == "first"
    clock.advance(1)
    assert await take() == []
    await driver.ack(first)
    assert ids(await take()) == ["late"], "it is the older one"


async def test_of_several_members_due_at_once_one_comes_at_a_time(driver, take, message, clock):
    await driver.enqueue_batch([(message(group="g"), SECOND) for _ in range(3)])
    clock.advance(2)
    seen = []
    while deliveries := await take():
        seen.append(ids(deliveries))
        await driver.ack_batch(deliveries)
    assert seen == [["1"], ["2"], ["3"]]


async def test_a_late_ack_of_a_head_lets_the_next_come_forward(driver, take, three, clock):
    [head, _] = await take()
    clock.advance("2m")
    await driver.ack(head)
    assert ids(await take()) == ["2", "x"]


async def test_those_behind_count_as_ready(driver, take, three):
    await take()
    assert await driver.stats("q") == QueueStats(ready=2, delayed=0, leased=2, dead=0)


async def test_a_retried_dead_letter_stands_at_the_end_of_its_group(driver, take, three):
    await driver.bury((await take())[0], REASON)
    assert await driver.retry_dead("q", None) == 1
    seen = []
    while deliveries := await take(1):
        seen += ids(deliveries)
        await driver.ack_batch(deliveries)
    assert seen == ["2", "3", "1"]

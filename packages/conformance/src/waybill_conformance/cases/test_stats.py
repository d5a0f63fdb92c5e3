"""What an operator sees of a queue is so, and looking changes nothing."""

from datetime import datetime, timedelta

from waybill.driver import DelayedMessage
from waybill.timing import ZERO

from ..bench import TICK, Bench, ids
from ..case import proves
from .test_groups import for_later
from .test_lease import timed

LONG = timedelta(seconds=30)


async def listed(bench: Bench, queue: str, limit: int = 100) -> list[DelayedMessage]:
    """All delayed messages, page by page."""
    found, after = list[DelayedMessage](), None
    for _ in range(100):
        page = await bench.driver.list_delayed(queue, after=after, limit=limit)
        found += page.entries
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages of delayed messages do not end")


async def all_listed(bench: Bench, queue: str, count: int, limit: int = 100) -> list[DelayedMessage]:
    """The delayed messages; there must soon be this many."""
    end = bench.timer(bench.soon)
    while len(found := await listed(bench, queue, limit)) != count:
        assert end.left() > ZERO, f"{len(found)} delayed messages, and {count} must be there"
        await bench.pass_time(TICK)
    return found


# -- numbers -------------------------------------------------------------------------------------------


@proves("Counts")
async def test_the_counts_follow_a_message_from_state_to_state(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 3)
    await bench.counted(queue, ready=3, delayed=0, leased=0, dead=0)
    first, second = await bench.receive(queue, limit=2)
    await bench.counted(queue, ready=1, delayed=0, leased=2, dead=0)
    await bench.driver.ack(first)
    await bench.counted(queue, ready=1, delayed=0, leased=1, dead=0)
    await bench.driver.nack(second)
    await bench.counted(queue, ready=2, delayed=0, leased=0, dead=0)


@proves("Counts")
async def test_a_delayed_message_is_counted_as_ready_when_it_is_due(bench: Bench) -> None:
    queue, delay = bench.queue(), timedelta(seconds=1)
    await bench.driver.enqueue_in(bench.message(queue), delay)
    await bench.put(queue)
    await bench.counted(queue, ready=1, delayed=1, leased=0)
    await bench.pass_time(delay)
    await bench.counted(queue, ready=2, delayed=0, leased=0)


@proves("Counts")
async def test_a_message_given_back_for_later_is_counted_as_delayed(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    await bench.driver.nack(await bench.take(queue), delay=for_later(bench, LONG))
    await bench.counted(queue, ready=0, delayed=1, leased=0)


@proves("Counts", "lease", given=timed)
async def test_a_message_whose_lease_ended_is_counted_as_ready(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    await bench.take(queue)
    await bench.counted(queue, ready=0, leased=1)
    await bench.pass_time(bench.lease)
    await bench.counted(queue, ready=1, leased=0)


@proves("Counts", "Buries")
async def test_a_dead_letter_is_counted_as_dead_and_as_nothing_else(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 2)
    for each in await bench.receive(queue, limit=2):
        await bench.driver.bury(each, bench.reason())
    await bench.counted(queue, ready=0, delayed=0, leased=0, dead=2)


@proves("Counts", "ordering", given=lambda claims: claims.ordering == "group")
async def test_messages_behind_the_first_of_their_group_are_counted_as_ready(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 3, group="a")
    await bench.counted(queue, ready=3, delayed=0, leased=0)
    await bench.take(queue)
    await bench.counted(queue, ready=2, delayed=0, leased=1)


@proves("Counts")
async def test_a_queue_is_counted_for_itself(bench: Bench) -> None:
    base = bench.queue("a")
    queues = {base: 1, f"{base}.b": 2, f"{base}-b": 3, base.upper(): 4}
    for queue, count in queues.items():
        await bench.put(queue, count)
    bench.driver = await bench.open()
    for queue, count in queues.items():
        await bench.counted(queue, ready=count, delayed=0, leased=0, dead=0)


@proves("Counts")
async def test_counting_changes_nothing(bench: Bench) -> None:
    queue = bench.queue()
    sent = await bench.put(queue, 3)
    for _ in range(20):
        await bench.driver.stats(queue)
    got = await bench.drain(queue, 3)
    assert sorted(ids(got)) == sorted(sent)
    assert {each.attempt for each in got} == {1}, "looking has spent an attempt"
    for each in got:
        await bench.driver.stats(queue)
        await bench.driver.ack(each)


@proves("Counts")
async def test_a_queue_that_was_never_used_counts_nothing(bench: Bench) -> None:
    told = await bench.driver.stats(bench.queue())
    assert {told.ready, told.delayed, told.leased, told.dead} <= {0, None}


# -- queues --------------------------------------------------------------------------------------------


@proves("ListsQueues")
async def test_every_queue_with_messages_is_listed_once_by_its_name(bench: Bench) -> None:
    base = bench.queue("a")
    queues = [base, f"{base}.b", f"{base}_c", base.upper(), bench.queue().ljust(64, "x")]
    for queue in queues[:-1]:
        await bench.put(queue)
    await bench.driver.enqueue_in(bench.message(queues[-1]), LONG)
    other, end = await bench.open(), bench.timer(bench.soon)
    while not set(queues) <= set(found := await other.queues()):
        assert end.left() > ZERO, f"not listed: {sorted(set(queues) - set(found))}"
        await bench.pass_time(TICK)
    assert len(found) == len(set(found)), "a queue is listed twice"


@proves("ListsQueues")
async def test_a_queue_is_listed_while_its_message_is_leased(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    assert queue in await bench.driver.queues()
    await bench.driver.ack(delivery)


# -- what waits for its time ---------------------------------------------------------------------------


@proves("ListsDelayed")
async def test_delayed_messages_are_listed_whole_and_with_their_time(bench: Bench) -> None:
    queue = bench.queue()
    first, second = bench.message(queue, headers={"trace": "ä"}), bench.message(queue, bytes(range(256)))
    fuzz = timedelta(seconds=1) + bench.claims.delay_resolution
    moment = bench.now() + LONG
    await bench.driver.enqueue_at(first, moment)
    asked = bench.now()
    await bench.driver.enqueue_in(second, LONG + timedelta(seconds=5))
    found = await all_listed(bench, queue, 2)
    assert [(each.message.id, each.message.queue, each.message.body) for each in found] == [
        (each.id, queue, each.body) for each in (first, second)
    ]
    assert dict(found[0].message.headers) == {"trace": "ä"}
    _near(found[0].due, moment, fuzz)
    _near(found[1].due, asked + LONG + timedelta(seconds=5), fuzz)


def _near(told: datetime, wanted: datetime, fuzz: timedelta) -> None:
    assert abs(told - wanted) <= fuzz, f"it is said to be due at {told}, and is at {wanted}"


@proves("ListsDelayed", seconds=120)
async def test_the_earliest_due_is_listed_first_over_all_pages(bench: Bench) -> None:
    queue, step = bench.queue(), timedelta(seconds=3)
    delays = [LONG + step * each for each in (3, 10, 1, 7, 9, 2, 5, 11, 0, 8, 4, 6)]
    due = {}
    for delay in delays:
        message = bench.message(queue)
        await bench.driver.enqueue_in(message, delay)
        due[message.id] = delay
    await all_listed(bench, queue, 12)
    for limit in (1, 4, 5, 12):
        found = [each.message.id for each in await listed(bench, queue, limit)]
        assert found == sorted(due, key=lambda each: due[each]), f"in pages of {limit}"


@proves("ListsDelayed")
async def test_pages_leave_out_none_of_those_due_at_one_instant(bench: Bench) -> None:
    queue, moment = bench.queue(), bench.now() + LONG
    messages = [bench.message(queue) for _ in range(7)]
    for each in messages:
        await bench.driver.enqueue_at(each, moment)
    await all_listed(bench, queue, 7)
    for limit in (1, 3, 7):
        found = [each.message.id for each in await listed(bench, queue, limit)]
        assert sorted(found) == sorted(each.id for each in messages), f"in pages of {limit}"


@proves("ListsDelayed")
async def test_only_what_waits_for_its_time_is_listed(bench: Bench) -> None:
    queue, delay = bench.queue(), timedelta(seconds=1)
    await bench.put(queue)
    await bench.driver.enqueue_in(bench.message(queue), delay)
    await bench.driver.enqueue_in(bench.message(bench.queue()), LONG)
    await all_listed(bench, queue, 1)
    await bench.pass_time(delay + bench.claims.delay_resolution)
    assert await all_listed(bench, queue, 0) == []
    await bench.drain(queue, 2)


@proves("ListsDelayed")
async def test_a_message_given_back_for_later_is_listed_with_its_time(bench: Bench) -> None:
    queue, delay = bench.queue(), for_later(bench, LONG)
    [sent] = await bench.put(queue)
    asked = bench.now()
    await bench.driver.nack(await bench.take(queue), delay=delay)
    [entry] = await all_listed(bench, queue, 1)
    assert entry.message.id == sent
    _near(entry.due, asked + delay, timedelta(seconds=1) + bench.claims.delay_resolution)


@proves("ListsDelayed")
async def test_listing_delayed_messages_changes_nothing(bench: Bench) -> None:
    queue, delay = bench.queue(), timedelta(seconds=0.6)
    message = bench.message(queue)
    timer = bench.timer(delay)
    await bench.driver.enqueue_in(message, delay)
    for _ in range(5):
        await bench.driver.list_delayed(queue)
    await bench.pass_time(max(timer.left(), ZERO))
    [got] = await bench.drain(queue, 1)
    assert (got.message.id, got.attempt) == (message.id, 1)

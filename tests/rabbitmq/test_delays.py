"""Delays: a ladder of queues, which nothing holds up and nothing overtakes."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from waybill.timing import ZERO
from waybill_rabbitmq.delays import way
from waybill_rabbitmq.names import Names
from waybill_rabbitmq.options import RabbitMQOptions

from .conftest import NOW, SOON, by_hand, ids, take

UNIT = timedelta(milliseconds=100)


def ladder(**options):
    return Names(RabbitMQOptions(**options))


def waited(names, taken):
    """How long a message waits that goes this way."""
    if not taken.exchange:
        return ZERO
    bits = taken.key.split(".")[: names.options.levels]
    return sum((names.options.delay_unit * 2**place for place, bit in enumerate(reversed(bits)) if bit == "1"), ZERO)


@pytest.mark.parametrize("milliseconds", [0, 1, 99, 100, 101, 250, 12_345, 86_400_000, 31_536_000_000, 400_000_000_000])
def test_a_way_takes_as_long_as_asked_or_a_unit_longer(milliseconds):
    names, delay = ladder(), timedelta(milliseconds=milliseconds)
    taken = way(names, "q", delay)
    assert delay <= waited(names, taken) < delay + UNIT
    assert taken.rest == ZERO


def test_a_way_begins_on_the_first_rung_that_it_waits_on():
    names = ladder()
    assert way(names, "q", UNIT * 6).exchange == names.exchange(2)
    assert way(names, "q", UNIT).exchange == names.exchange(0)
    assert way(names, "q", ZERO) == ("", "waybill.q", ZERO)


def test_what_is_longer_than_the_ladder_has_a_rest():
    names = ladder(delay_levels=3)
    taken = way(names, "q", UNIT * 20)
    assert waited(names, taken) == UNIT * 7
    assert taken.rest == UNIT * 13


def test_the_longest_way_fits_into_a_routing_key():
    names = ladder(prefix="p" * 64, delay_levels=40, delay_unit=timedelta(milliseconds=1))
    taken = way(names, "q" * 64, timedelta(days=10_000))
    assert len(taken.key) <= 255
    assert len(names.arrival_key("q" * 64)) <= 255


async def test_a_delay_that_is_longer_than_the_ladder_goes_round(connect, message):
    driver = await connect(delay_levels=2)
    begun = time.monotonic()
    await driver.enqueue_in(message("in"), timedelta(seconds=1.05))
    await driver.enqueue_at(message("at"), datetime.now(UTC) + timedelta(seconds=1.05))
    waiting = asyncio.create_task(take(driver, 2))
    await asyncio.sleep(0.8)
    assert not waiting.done()
    got = await waiting
    assert time.monotonic() - begun >= 1.05
    assert sorted(ids(got)) == ["at", "in"]
    assert {each.attempt for each in got} == {1}


async def test_a_message_that_the_server_hands_over_early_goes_back_for_the_rest(shared, driver, prefix, message):
    """Whoever moved it, or whatever clock was wrong: a moment that was asked for is kept."""
    await driver.enqueue_in(message(), timedelta(milliseconds=1))
    await take(driver)
    due = datetime.now(UTC) + timedelta(seconds=1)
    await driver.enqueue_at(message("early"), due)

    def hurry(channel):
        names = driver._server.names
        for number in range(32):
            method, properties, body = channel.basic_get(names.exchange(number), auto_ack=True)
            if method is not None:
                channel.basic_publish("", f"{prefix}.q", body, properties)
                return True
        return False

    assert await by_hand(shared, hurry)
    [got] = await take(driver)
    assert datetime.now(UTC) >= due
    assert (got.message.id, got.attempt) == ("early", 1)


async def test_delayed_jobs_of_a_deleted_queue_hold_up_no_others(shared, driver, prefix, message):
    """The server has 32 unconfirmed dead letters per rung at most; what finds no queue must not stay one of them."""
    await driver.enqueue_in(message(queue="gone"), timedelta(milliseconds=1))
    await take(driver, queue="gone")
    await driver.enqueue_batch([(message(queue="gone"), timedelta(milliseconds=400)) for _ in range(60)])
    await by_hand(shared, lambda channel: channel.queue_delete(f"{prefix}.gone"))
    await asyncio.sleep(0.6)
    begun = time.monotonic()
    for _ in range(5):
        await driver.enqueue_in(message(queue="there"), timedelta(milliseconds=400))
    await take(driver, 5, queue="there")
    assert time.monotonic() - begun < 9
    notes = [note for note in await driver.diagnose() if "60 delayed jobs" in note.fact]
    assert [note.level for note in notes] == ["warning"]
    await by_hand(shared, lambda channel: channel.queue_purge(driver._server.names.unroutable))


async def test_queues_whose_names_end_alike_get_their_own(driver, message):
    names = ["email", "marketing.email", "a.marketing.email", "b.c"]
    for name in names:
        await driver.enqueue_in(message(name, queue=name), timedelta(milliseconds=200))
    for name in names:
        assert ids(await take(driver, queue=name)) == [name]
    for name in names:
        assert await driver.receive(name, limit=5, wait=NOW) == []


async def test_drivers_of_different_units_share_no_ladder(connect, message):
    coarse, fine = await connect(delay_unit="500ms"), await connect(delay_unit="50ms")
    begun = time.monotonic()
    await coarse.enqueue_in(message("coarse"), timedelta(milliseconds=450))
    await fine.enqueue_in(message("fine"), timedelta(milliseconds=450))
    got = await take(fine, 2)
    assert sorted(ids(got)) == ["coarse", "fine"]
    assert time.monotonic() - begun >= 0.5


async def test_a_thousand_random_delays_are_all_kept_and_none_is_early(driver, message):
    asked, sent = {}, time.time()
    items = [(message(f"{number}"), timedelta(milliseconds=500 + number * 7 % 1500)) for number in range(1000)]
    for each, delay in items:
        asked[each.id] = sent + delay.total_seconds()
    outcomes = await driver.enqueue_batch(items)
    assert all(isinstance(each, str) for each in outcomes)
    late = []
    while len(late) < 1000:
        got = await driver.receive("q", limit=200, wait=SOON)
        now = time.time()
        assert got, f"{len(late)} of 1000 came"
        late += [now - asked[each.message.id] for each in got]
        await driver.ack_batch(got)
    assert min(late) >= 0

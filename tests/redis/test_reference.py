"""The memory driver is the reference: on the same clock, the same calls have the same outcomes on Redis."""

import random
from datetime import timedelta

import pytest

from waybill.driver import DeadReason, Message, UniqueKey
from waybill.drivers.memory import MemoryDriver
from waybill.errors import WaybillError
from waybill.testing import VirtualClock

from . import clock as server_clock

NOW = timedelta()


@pytest.fixture
async def time(monkeypatch, redis):
    """The reference's clock, which the server follows with every step."""
    server_clock.turn(monkeypatch)
    clock = VirtualClock()
    await server_clock.set_to(redis, clock.now())
    yield clock
    await redis.delete(server_clock.KEY)


@pytest.mark.parametrize("seed", range(30))
async def test_random_calls_have_the_outcomes_of_the_memory_driver(time, driver, redis, seed):
    chance = random.Random(seed)
    reference = MemoryDriver(clock=time, lease="60s")
    pairs = []  # deliveries of the one and of the other
    for step in range(200):
        verb = chance.choices(list(VERBS), [weight for _, weight in VERBS.values()])[0]
        call = VERBS[verb][0](chance, time, pairs)
        await server_clock.set_to(redis, time.now())
        outcomes = [await outcome_of(each, call, index) for index, each in enumerate((driver, reference))]
        shown = [show(outcome) for outcome in outcomes]
        assert shown[0] == shown[1], f"step {step}: {verb}"
        if verb == "receive":
            pairs += zip(*outcomes, strict=True)
    for queue in ("a", "b"):
        assert await driver.stats(queue) == await reference.stats(queue)
        assert (await driver.list_dead(queue)).entries == (await reference.list_dead(queue)).entries
    assert await driver.queues() == await reference.queues()


async def outcome_of(driver, call, index):
    try:
        return await call(driver, index)
    except WaybillError as error:
        return error


def show(outcome):
    if isinstance(outcome, WaybillError):
        return type(outcome).__name__, getattr(outcome, "existing_job_id", None)
    if isinstance(outcome, list):
        return [(each.message, each.attempt, each.leased_until) for each in outcome]
    return None if hasattr(outcome, "receipt") else outcome


def enqueue(chance, time, pairs):
    unique = UniqueKey(
        chance.choice("xyz"), chance.choice(["done", "start", "window"]), timedelta(seconds=chance.randint(1, 90))
    )
    message = Message(
        str(chance.randint(1, 40)),
        chance.choice("ab"),
        chance.choice([b"{}", b"x" * 3000]),
        unique=chance.choice([None, None, unique]),
        group=chance.choice([None, None, "g", "h"]),
        priority=chance.choice([0, 0, 5]),
    )
    if chance.random() < 0.3:
        delay = timedelta(microseconds=chance.randint(1, 100_000_000))
        return lambda driver, _: driver.enqueue_in(message, delay)
    return lambda driver, _: driver.enqueue(message)


def receive(chance, time, pairs):
    queue, limit = chance.choice("ab"), chance.randint(1, 3)
    return lambda driver, _: driver.receive(queue, limit=limit, wait=NOW)


def settle(chance, time, pairs):
    pair = chance.choice(pairs[-6:]) if pairs else None
    verb = chance.choice(["ack", "ack", "nack", "nack", "release", "extend", "bury"])
    delay = chance.choice([NOW, timedelta(seconds=chance.randint(1, 30), microseconds=chance.randint(0, 999))])
    reason, to = DeadReason("permanent", "", 1, time.now()), chance.choice([None, "b"])

    async def call(driver, index):
        if pair is None:
            return None
        if verb == "bury":
            return await driver.bury(pair[index], reason, to)
        if verb in ("nack", "release"):
            return await getattr(driver, verb)(pair[index], delay=delay)
        return await getattr(driver, verb)(pair[index])

    return call


def advance(chance, time, pairs):
    time.advance(chance.choice([1, 5, 61]) + chance.random())

    async def notice(driver, _):  # both notice what has come due at the same moment, as if somebody were waiting
        await driver.receive_many("ab", limit=0, wait=NOW)

    return notice


def retry_dead(chance, time, pairs):
    queue, chosen = chance.choice("ab"), chance.choice([None, [str(chance.randint(1, 40)) for _ in range(10)]])
    return lambda driver, _: driver.retry_dead(queue, chosen)


def cancel(chance, time, pairs):
    queue, job_id = chance.choice("ab"), str(chance.randint(1, 40))
    return lambda driver, _: driver.cancel(queue, job_id)


def purge(chance, time, pairs):
    queue = chance.choice("ab")
    return lambda driver, _: driver.purge(queue)


VERBS = {
    "enqueue": (enqueue, 40),
    "receive": (receive, 25),
    "settle": (settle, 25),
    "advance": (advance, 5),
    "retry_dead": (retry_dead, 2),
    "cancel": (cancel, 3),
    "purge": (purge, 0.3),
}

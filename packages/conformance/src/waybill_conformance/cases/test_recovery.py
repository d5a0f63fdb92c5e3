"""The broker stops, stands still or is cut off: calls end, the driver comes back by itself, nothing is lost."""

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import Any

from waybill.driver import Delivery, KeepsState, ReadsDeadLetters
from waybill.errors import BrokerUnavailableError, EnqueueUnknownError, LeaseLostError, WaybillError
from waybill.timing import ZERO

from ..bench import TICK, Bench, ids
from ..case import proves
from ..witness import DEADLINE, verbs_of
from .test_lifecycle import arguments

LONG = timedelta(seconds=30)
PATIENCE = timedelta(seconds=30)


async def again(bench: Bench, verb: Any, *arguments: Any, **keywords: Any) -> Any:
    """What a verb returns once the broker is back: a call that finds it gone is made anew, as the core does."""
    end = time.monotonic() + PATIENCE.total_seconds() * bench.harness.patience
    while True:
        try:
            return await verb(*arguments, **keywords)
        except (BrokerUnavailableError, EnqueueUnknownError):
            assert time.monotonic() < end, "the broker is back, and the driver does not reconnect by itself"
            await asyncio.sleep(0.05)


async def collect(bench: Bench, queue: str, count: int) -> list[Delivery]:
    """Receive until *count* different messages have come, over any interruption."""
    found: dict[str, Delivery] = {}
    end = bench.timer(PATIENCE * bench.harness.patience)
    while len(found) < count and end.left() > ZERO:
        wait = ZERO if bench.virtual else TICK * 4
        for each in await again(bench, bench.driver.receive, queue, limit=100, wait=wait):
            found[each.message.id] = each
        if bench.virtual:
            await bench.pass_time(TICK)
    return list(found.values())


async def settled(bench: Bench, delivery: Delivery) -> bool:
    """Ack after an interruption; whether the delivery was still this receiver's."""
    try:
        await again(bench, bench.driver.ack, delivery)
    except LeaseLostError:
        return False
    return True


async def used(bench: Bench) -> str:
    """A queue that has been there as long as the broker needs to keep one; what is sent to it then is safe at once."""
    queue = bench.queue()
    await bench.driver.enqueue_in(bench.message(queue), timedelta(milliseconds=1))
    await bench.driver.ack(await bench.take(queue))
    await asyncio.sleep(bench.harness.rest.total_seconds())
    return queue


@proves("durability", power="restart", vital=True, seconds=180)
async def test_what_was_accepted_survives_the_kill_of_the_broker(bench: Bench) -> None:
    queue = await used(bench)
    sent = await asyncio.gather(*(bench.put(queue) for _ in range(200)))
    await bench.harness.restart()
    other = await again(bench, bench.open)
    bench.driver = other
    assert sorted(ids(await collect(bench, queue, 200))) == sorted(one for [one] in sent)
    bench.level("killed with 200 stored messages")


@proves("durability", power="restart", vital=True, seconds=180)
async def test_a_delayed_message_survives_the_kill_of_the_broker(bench: Bench) -> None:
    queue, delay = await used(bench), timedelta(seconds=8)
    message, timer = bench.message(queue), bench.timer(delay)
    await bench.driver.enqueue_in(message, delay)
    await bench.harness.restart()
    bench.driver = await again(bench, bench.open)
    if timer.left() > timedelta(seconds=1):
        await bench.nothing(queue)
    await bench.pass_time(max(timer.left(), ZERO))
    assert ids(await collect(bench, queue, 1)) == [message.id]
    assert timer.passed() >= delay


@proves("durability", "ReadsDeadLetters", "Buries", power="restart", vital=True, seconds=180)
async def test_dead_letters_survive_the_kill_of_the_broker(bench: Bench) -> None:
    queue = await used(bench)
    [sent] = await bench.put(queue)
    await bench.driver.bury(await bench.take(queue), bench.reason("kept"))
    await bench.harness.restart()
    bench.driver = await again(bench, bench.open)
    assert isinstance(bench.driver, ReadsDeadLetters)
    page = await again(bench, bench.driver.list_dead, queue)
    assert [(each.message.id, each.reason.error) for each in page.entries] == [(sent, "kept")]


@proves("durability", "KeepsState", power="restart", vital=True, seconds=180)
async def test_state_survives_the_kill_of_the_broker(bench: Bench) -> None:
    key = bench.queue("state")
    assert isinstance(bench.driver, KeepsState)
    version = await bench.driver.state_put(key, b"kept", expect=None)
    await bench.harness.restart()
    bench.driver = await again(bench, bench.open)
    found = await again(bench, bench.driver.state_get, key)
    assert found == (b"kept", version)
    await bench.driver.state_delete(key, expect=version)


@proves("recovery", power="restart", seconds=180)
async def test_a_receive_finds_messages_after_a_restart_without_help(bench: Bench) -> None:
    queue = await used(bench)
    waiting = await bench.begun(bench.driver.receive(queue, limit=1, wait=LONG))
    await bench.harness.restart()
    [sent] = [bench.message(queue)]
    await again(bench, bench.driver.enqueue, sent)
    got: list[Delivery] = []
    with contextlib.suppress(BrokerUnavailableError):
        got = await bench.ended(waiting, within=LONG)
    got = got or await collect(bench, queue, 1)
    assert ids(got) == [sent.id]


@proves("recovery", "durability", power="restart", seconds=180)
async def test_a_delivery_held_over_a_restart_is_settled_or_comes_back(bench: Bench) -> None:
    queue = await used(bench)
    await bench.put(queue, 5)
    held = await bench.receive(queue, limit=5)
    await bench.harness.restart()
    lost = [each.message.id for each in held if not await settled(bench, each)]
    bench.driver = await again(bench, bench.open)
    await bench.pass_time(bench.claims.lease or ZERO)
    left = await collect(bench, queue, len(lost)) if lost else []
    assert set(lost) <= set(ids(left)), "a delivery that could not be settled did not come back"


@proves("recovery", power="cut", seconds=120)
async def test_a_receive_that_waits_ends_when_its_connection_does(bench: Bench) -> None:
    queue = bench.queue()
    waiting = await bench.begun(bench.driver.receive(queue, limit=1, wait=LONG))
    await asyncio.sleep(0.5)  # a driver may have to make the queue first
    start = time.monotonic()
    await bench.harness.cut()
    await asyncio.wait([waiting], timeout=DEADLINE)
    assert waiting.done(), "a receive does not notice that its connection is gone"
    assert isinstance(waiting.exception(), BrokerUnavailableError), f"it ended with {waiting.exception()!r}"
    bench.level(f"noticed within {time.monotonic() - start:.1f} s")


@proves("recovery", power="cut", seconds=120)
async def test_after_a_cut_the_next_calls_reconnect(bench: Bench) -> None:
    queue = bench.queue()
    [before] = await bench.put(queue)
    await bench.harness.cut()
    after = bench.message(queue)
    await again(bench, bench.driver.enqueue, after)
    assert sorted(ids(await collect(bench, queue, 2))) == sorted([before, after.id])


@proves("recovery", power="cut", seconds=120)
async def test_what_was_accepted_around_cuts_is_there_and_only_that(bench: Bench) -> None:
    queue, accepted, unknown = bench.queue(), set[str](), set[str]()

    async def send() -> None:
        for _ in range(40):
            message = bench.message(queue)
            try:
                await bench.driver.enqueue(message)
                accepted.add(message.id)
            except EnqueueUnknownError:
                unknown.add(message.id)
            except BrokerUnavailableError:
                await asyncio.sleep(0.02)

    async def cut() -> None:
        for _ in range(6):
            await asyncio.sleep(0.03)
            await bench.harness.cut()

    await asyncio.gather(send(), send(), cut())
    found = set(ids(await collect(bench, queue, len(accepted))))
    found |= set(
        ids(await again(bench, bench.driver.receive, queue, limit=100, wait=ZERO if bench.virtual else TICK * 10))
    )
    assert accepted <= found, f"{len(accepted - found)} accepted messages are lost"
    assert found <= accepted | unknown, "a message is there whose enqueue was refused"
    bench.level(f"{len(accepted)} accepted, {len(unknown)} unknown")


@proves("recovery", "idempotent_enqueue", power="cut", seconds=120)
async def test_an_enqueue_repeated_over_cuts_is_stored_once(bench: Bench) -> None:
    queue, sent = bench.queue(), []

    async def send() -> None:
        for _ in range(20):
            message = bench.message(queue)
            await again(bench, bench.driver.enqueue, message)
            sent.append(message.id)

    async def cut() -> None:
        for _ in range(6):
            await asyncio.sleep(0.03)
            await bench.harness.cut()

    await asyncio.gather(send(), cut())
    got = await collect(bench, queue, len(sent))
    assert sorted(ids(got)) == sorted(sent)
    more = await again(bench, bench.driver.receive, queue, limit=100, wait=ZERO)
    assert not more, f"{len(more)} were stored twice"


@proves("recovery", power="pause", seconds=180)
async def test_every_call_ends_while_the_broker_stands_still(bench: Bench) -> None:
    queue, verbs = bench.queue(), verbs_of(bench.driver)
    await bench.put(queue, len(verbs))
    held = await bench.receive(queue, limit=len(verbs))
    await bench.harness.pause()
    try:
        start = time.monotonic()
        calls = []
        for verb, delivery in zip(verbs, held, strict=True):
            positional, keywords = arguments(bench, verb, queue, delivery)
            keywords |= {"wait": timedelta(seconds=1)} if "wait" in keywords else {}
            calls.append(getattr(bench.driver, verb)(*positional, **keywords))
        outcomes = dict(zip(verbs, await asyncio.gather(*calls, return_exceptions=True), strict=True))
        took = time.monotonic() - start
    finally:
        await bench.harness.resume()
    assert took < DEADLINE + 3, f"the calls took {took:.0f} seconds"
    for verb, outcome in outcomes.items():
        refused = isinstance(outcome, BrokerUnavailableError | EnqueueUnknownError | LeaseLostError)
        told = isinstance(outcome, list) and all(isinstance(each, WaybillError) for each in outcome)
        assert refused or told or verb in ("diagnose", "extend", "extend_batch"), (
            f"a broker that answers nothing cannot have confirmed {verb}: {outcome!r}"
        )
    bench.level(f"{len(verbs)} verbs ended within {took:.1f} s")


@proves("recovery", power="pause", seconds=180)
async def test_after_a_pause_everything_goes_on(bench: Bench) -> None:
    queue = bench.queue()
    [before] = await bench.put(queue)
    await bench.harness.pause()
    sending = asyncio.ensure_future(bench.driver.enqueue(bench.message(queue, id="during")))
    await asyncio.sleep(2)
    await bench.harness.resume()
    await asyncio.wait([sending], timeout=DEADLINE + 3)
    error = sending.exception()
    assert error is None or isinstance(error, WaybillError)
    after = bench.message(queue)
    await again(bench, bench.driver.enqueue, after)
    found = set(ids(await collect(bench, queue, 2 + (error is None))))
    assert {before, after.id} <= found <= {before, after.id, "during"}

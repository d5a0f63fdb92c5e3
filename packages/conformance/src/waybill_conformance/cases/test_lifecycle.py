"""Opening and closing: nothing is left behind, and what is closed says so."""

import asyncio
import inspect
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from waybill.driver import OPTIONAL, QueueDriver
from waybill.errors import DriverClosedError
from waybill.timing import ZERO

from ..bench import Bench, ids
from ..case import proves
from ..witness import verbs_in, verbs_of
from .test_lease import timed

LONG = timedelta(seconds=30)


EXPECTED: dict[str, dict[str, Any]] = {"state_put": {"expect": None}, "state_delete": {"expect": 1}}


def arguments(bench: Bench, verb: str, queue: str, delivery: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A well-formed call of any verb."""
    message = bench.message(queue)
    given: dict[str, Any] = {
        "message": message,
        "delay": timedelta(seconds=1),
        "when": bench.now(),
        "queue": queue,
        "queues": [queue],
        "delivery": delivery,
        "deliveries": [delivery],
        "items": [(message, None)] if verb == "enqueue_batch" else [(delivery, ZERO)],
        "reason": bench.reason(),
        "ids": None,
        "message_id": "1",
        "key": "k",
        "prefix": "k",
        "value": b"",
    }
    keywords: dict[str, Any] = {"limit": 1, "wait": LONG} if verb.startswith("receive") else {}
    keywords |= EXPECTED.get(verb, {})
    protocol = next((each for each in OPTIONAL if verb in verbs_in(each)), QueueDriver)
    wanted = inspect.signature(getattr(protocol, verb)).parameters
    needed = [
        n for n, p in wanted.items() if n != "self" and p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty
    ]
    return tuple(given[name] for name in needed), keywords


@proves("lifecycle")
async def test_every_verb_of_a_closed_driver_says_that_it_is_closed(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue)
    delivery = await bench.take(queue)
    await bench.driver.close()
    for verb in verbs_of(bench.driver):
        positional, keywords = arguments(bench, verb, queue, delivery)
        try:
            result = await bench.ended(getattr(bench.driver, verb)(*positional, **keywords))
        except DriverClosedError:
            continue
        raise AssertionError(f"{verb} of a closed driver returned {result!r}")


@proves("lifecycle")
async def test_opening_and_closing_twice_is_fine(bench: Bench) -> None:
    other = await bench.open()
    await other.open()
    queue = bench.queue()
    await other.enqueue(bench.message(queue))
    await bench.drain(queue, 1)
    await other.close()
    await other.close()


@proves("lifecycle")
async def test_a_receive_that_waits_ends_when_the_driver_is_closed(bench: Bench) -> None:
    other = await bench.open()
    waiting = await bench.begun(other.receive(bench.queue(), limit=1, wait=LONG))
    await other.close()
    await asyncio.wait([waiting], timeout=bench.soon.total_seconds())
    assert waiting.done(), "close() leaves a receive waiting"
    assert isinstance(waiting.exception(), DriverClosedError), f"it ended with {waiting.exception()!r}"


@proves("lifecycle")
async def test_what_a_closed_driver_received_is_settled_by_nobody_and_comes_back(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    [sent] = await bench.put(queue)
    await bench.take(queue, by=other)
    await other.close()
    await bench.pass_time(bench.claims.lease or ZERO)
    assert ids(await bench.drain(queue, 1)) == [sent]


@proves("lifecycle", given=timed)
async def test_closing_leaves_a_lease_running(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    await bench.put(queue)
    await bench.take(queue, by=other)
    await other.close()
    await bench.nothing(queue, during=bench.lease * 0.6)


@proves("lifecycle")
async def test_what_was_parked_comes_back_at_once_when_the_driver_is_closed(bench: Bench) -> None:
    """A driver that is pushed to, or fetches ahead, holds messages nobody has received yet."""
    queue, other = bench.queue(), await bench.open()
    sent = await bench.put(queue, 10)
    got = await other.receive(queue, limit=1, wait=ZERO if bench.virtual else bench.soon)
    waiting = await bench.begun(other.receive(bench.queue(), limit=5, wait=LONG))
    for each in got:
        await other.ack(each)
    await other.close()
    await asyncio.wait([waiting], timeout=bench.soon.total_seconds())
    rest = await bench.receive(queue, limit=9, within=min(bench.soon, (bench.claims.lease or bench.soon) * 0.8))
    assert sorted(ids(rest)) == sorted(set(sent) - set(ids(got))), "what nobody received is held by a closed driver"
    if bench.claims.exact_attempts:
        assert {each.attempt for each in rest} == {1}, "parked messages have spent an attempt"
    waiting.exception()


@proves("lifecycle")
async def test_an_ack_that_returned_is_not_undone_by_closing(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    await bench.put(queue, 20)
    for each in await bench.receive(queue, limit=20, by=other):
        await other.ack(each)
    await other.close()
    await bench.nothing(queue, during=(bench.claims.lease or timedelta(seconds=1)) * 1.2)


@proves("lifecycle")
async def test_opening_and_closing_often_leaves_nothing_behind(bench: Bench) -> None:
    queue = bench.queue()

    async def live() -> None:
        driver = await bench.harness.open()
        await driver.enqueue(bench.message(queue))
        await driver.receive(queue, limit=1, wait=ZERO)
        await driver.close()

    await live()
    await bench.driver.receive(queue, limit=1, wait=ZERO)
    before = _held()
    for _ in range(20):
        await live()
    for _ in range(100):  # what ends on its own may take a moment
        if all(now <= then + 2 for now, then in zip(_held(), before, strict=True)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"tasks, threads, files: {_held()} after 20 drivers, {before} before")


@proves("lifecycle")
async def test_a_driver_serves_one_event_loop_after_another(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)

    def on_another_loop() -> list[str]:
        async def receive() -> list[str]:
            driver = await bench.harness.open()
            try:
                end = bench.soon if not bench.virtual else ZERO
                got = await driver.receive(queue, limit=1, wait=end)
                for each in got:
                    await driver.ack(each)
                return ids(got)
            finally:
                await driver.close()

        return asyncio.run(receive())

    assert await asyncio.to_thread(on_another_loop) == [sent]
    await bench.put(queue)
    await bench.drain(queue, 1)


@proves("lifecycle")
async def test_neither_the_driver_nor_its_errors_show_a_password(bench: Bench) -> None:
    from waybill.driver import BrokerUrl

    url = bench.harness.url
    secret = BrokerUrl.parse(url).password if url else None
    shown = [repr(bench.driver), str(bench.driver), repr(bench.driver.capabilities)]
    await bench.put(bench.queue())
    await bench.driver.close()
    with pytest.raises(DriverClosedError) as closed:
        await bench.put(bench.queue())
    shown += [str(closed.value), repr(closed.value)]
    assert not secret or not any(secret in each for each in shown), "a password is shown"


def _held() -> tuple[int, int, int]:
    """Tasks, threads and open files of this process."""
    files = Path("/proc/self/fd")
    return len(asyncio.all_tasks()), threading.active_count(), len(list(files.iterdir())) if files.exists() else 0

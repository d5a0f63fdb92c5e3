"""A message that waits can be taken back: then it never starts; whatever else is left as it was."""

import asyncio
from datetime import timedelta

import pytest

from waybill import define_job
from waybill.errors import UnsupportedError
from waybill.timing import ZERO

from ..bench import Bench, ids
from ..case import proves, refuses
from .test_groups import for_later
from .test_worker import service_of

SHORT = timedelta(seconds=0.5)


@proves("Cancels")
async def test_a_waiting_message_that_is_cancelled_never_starts(bench: Bench) -> None:
    queue = bench.queue()
    first, second, third = await bench.put(queue, 3)
    assert await bench.driver.cancel(queue, second) is True
    assert sorted(ids(await bench.drain(queue, 2))) == sorted([first, third])


@proves("Cancels")
async def test_a_receive_passes_over_what_was_cancelled(bench: Bench) -> None:
    queue = bench.queue()
    first, second, third = await bench.put(queue, 3)
    assert await bench.driver.cancel(queue, first) is True
    for _ in range(2):
        got = await bench.driver.receive(queue, limit=1, wait=ZERO if bench.virtual else bench.soon)
        assert len(got) == 1, "a receive came back empty, though a message is there"
        assert got[0].message.id in (second, third)


@proves("Cancels")
async def test_a_delayed_message_that_is_cancelled_never_starts(bench: Bench) -> None:
    queue = bench.queue()
    cancelled, kept = bench.message(queue), bench.message(queue)
    for each in (cancelled, kept):
        await bench.driver.enqueue_in(each, SHORT)
    assert await bench.driver.cancel(queue, cancelled.id) is True
    await bench.pass_time(SHORT)
    assert ids(await bench.drain(queue, 1)) == [kept.id]


@proves("Cancels")
async def test_a_message_given_back_can_be_cancelled(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 2)
    now, later = await bench.receive(queue, limit=2)
    await bench.driver.nack(now)
    await bench.driver.nack(later, delay=for_later(bench, SHORT))
    for each in (now, later):
        assert await bench.driver.cancel(queue, each.message.id) is True
    await bench.nothing(queue, during=SHORT + bench.claims.delay_resolution)


@proves("Cancels")
async def test_a_message_is_cancelled_once(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)
    told = await asyncio.gather(*(bench.driver.cancel(queue, sent) for _ in range(10)))
    assert sorted(told) == [False] * 9 + [True]
    assert await bench.driver.cancel(queue, sent) is False


@proves("Cancels")
async def test_a_leased_message_is_not_cancelled(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)
    delivery = await bench.take(queue)
    assert await bench.driver.cancel(queue, sent) is False
    await bench.driver.nack(delivery)
    [again] = await bench.drain(queue, 1)
    assert (again.message.id, again.attempt) == (sent, 2)
    await bench.driver.ack(again)


@proves("Cancels")
async def test_a_message_that_is_done_or_unknown_is_not_cancelled(bench: Bench) -> None:
    queue = bench.queue()
    [done, kept] = await bench.put(queue, 2)
    got = {each.message.id: each for each in await bench.receive(queue, limit=2)}
    await bench.driver.ack(got[done])
    await bench.driver.nack(got[kept])
    for each in (done, "nobody", kept[:-1], f"{kept}x", "%", "*"):
        assert await bench.driver.cancel(queue, each) is False, f"{each} was cancelled"
    assert ids(await bench.drain(queue, 1)) == [kept]


@proves("Cancels", "Buries", "ReadsDeadLetters")
async def test_a_dead_letter_is_not_cancelled(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)
    await bench.driver.bury(await bench.take(queue), bench.reason())
    assert await bench.driver.cancel(queue, sent) is False
    assert [each.message.id for each in (await bench.driver.list_dead(queue)).entries] == [sent]


@proves("Cancels")
async def test_a_cancel_concerns_one_queue(bench: Bench) -> None:
    first, second = bench.queue(), bench.queue()
    for queue in (first, second):
        await bench.driver.enqueue(bench.message(queue, id="the-same"))
    assert await bench.driver.cancel(bench.queue(), "the-same") is False
    assert await bench.driver.cancel(first, "the-same") is True
    await bench.nothing(first)
    await bench.drain(second, 1)


@proves("Cancels")
async def test_another_driver_may_cancel(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    [sent] = await bench.put(queue)
    assert await other.cancel(queue, sent) is True
    await bench.nothing(queue)


@proves("Cancels", given=lambda claims: not claims.idempotent_enqueue)
async def test_an_id_that_was_cancelled_may_be_sent_again(bench: Bench) -> None:
    queue, message = bench.queue(), bench.message(bench.queue("other"))
    for each in (message, bench.message(queue)):
        await bench.driver.enqueue_in(each, SHORT)
        assert await bench.driver.cancel(each.queue, each.id)
        await bench.driver.enqueue(each)
        [got] = await bench.drain(each.queue, 1)
        await bench.driver.ack(got)
        await bench.nothing(each.queue, during=SHORT)


@proves("Cancels")
async def test_of_a_cancel_and_a_receive_one_wins(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    for place in range(20):
        [sent] = await bench.put(queue)
        calls = [bench.driver.receive(queue, limit=1, wait=ZERO), other.cancel(queue, sent)]
        if place % 2:
            cancelled, got = await asyncio.gather(*calls[::-1])
        else:
            got, cancelled = await asyncio.gather(*calls)
        got = got or await bench.receive(queue, within=ZERO if cancelled else None)
        assert cancelled != bool(got), "it was cancelled and started" if got else "it is gone, and nobody has it"
        for each in got:
            await bench.driver.ack(each)


@refuses("Cancels")
async def test_a_cancel_is_refused_where_it_cannot_be_done(bench: Bench) -> None:
    queue = bench.queue()
    job = define_job(name="send", handler=lambda: None, queue=queue)
    async with service_of(bench, job) as service:
        with pytest.raises(UnsupportedError):
            await service.cancel("some-id", queue)
        assert not bench.asked, "the broker was asked"
    bench.driver = await bench.open()
    await bench.nothing(queue)

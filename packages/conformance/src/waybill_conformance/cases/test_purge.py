"""A purge removes what waits: not what is out, not what is dead, and nothing of another queue."""

from datetime import timedelta

import pytest

from waybill import define_job
from waybill.errors import UnsupportedError

from ..bench import Bench, ids
from ..case import proves, refuses
from ..claims import Claims
from .test_groups import for_later
from .test_worker import service_of

LONG = timedelta(seconds=30)
SHORT = timedelta(seconds=0.6)


def exact(claims: Claims) -> bool:
    return claims.purge in ("all", "ready")


def everything(claims: Claims) -> bool:
    return bool(claims.purge == "all")


@proves("Purges", "purge", given=exact)
async def test_a_purge_removes_what_is_ready_and_counts_it(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 12)
    assert await bench.driver.purge(queue) in (12, None)
    await bench.nothing(queue)
    assert await bench.driver.purge(queue) in (0, None)


@proves("Purges", "purge", given=everything)
async def test_a_purge_removes_what_is_delayed_and_counts_it(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 2)
    await bench.driver.enqueue_in(bench.message(queue), SHORT)
    await bench.driver.enqueue_in(bench.message(queue), LONG)
    assert await bench.driver.purge(queue) in (4, None)
    await bench.nothing(queue, during=SHORT + bench.claims.delay_resolution)


@proves("Purges", "purge", given=everything)
async def test_a_purge_removes_what_was_given_back(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 2)
    now, later = await bench.receive(queue, limit=2)
    await bench.driver.nack(now)
    await bench.driver.nack(later, delay=for_later(bench, SHORT))
    assert await bench.driver.purge(queue) in (2, None)
    await bench.nothing(queue, during=SHORT + bench.claims.delay_resolution)


@proves("Purges", "purge", given=lambda claims: claims.purge == "ready")
async def test_a_purge_of_what_is_ready_leaves_what_is_delayed(bench: Bench) -> None:
    queue, delayed = bench.queue(), bench.message(bench.queue())
    await bench.driver.enqueue_in(delayed, SHORT)
    await bench.put(queue)
    for each in (queue, delayed.queue):
        await bench.driver.purge(each)
    await bench.pass_time(SHORT)
    assert ids(await bench.drain(delayed.queue, 1)) == [delayed.id]
    await bench.nothing(queue)


@proves("Purges", "purge", given=exact)
async def test_a_purge_leaves_what_is_leased(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 3)
    first, second = await bench.receive(queue, limit=2)
    assert await bench.driver.purge(queue) in (1, None)
    await bench.driver.ack(first)
    await bench.driver.nack(second)
    [again] = await bench.drain(queue, 1)
    assert (again.message.id, again.attempt) == (second.message.id, 2)


@proves("Purges", "purge", given=exact)
async def test_a_purge_leaves_other_queues_alone(bench: Bench) -> None:
    base = bench.queue("a")
    others = [f"{base}.b", f"{base}-b", base.upper(), base[:-1] + "_"]
    kept = {each: await bench.put(each) for each in others}
    await bench.put(base)
    await bench.driver.purge(base)
    for each in others:
        assert ids(await bench.drain(each, 1)) == kept[each]
    await bench.nothing(base)


@proves("Purges", "purge", given=exact)
async def test_a_purge_of_a_queue_that_was_never_used_removes_nothing(bench: Bench) -> None:
    queue = bench.queue()
    assert await bench.driver.purge(queue) in (0, None)
    [sent] = await bench.put(queue)
    assert ids(await bench.drain(queue, 1)) == [sent]


@proves("Purges", "purge", given=exact)
async def test_what_is_sent_after_a_purge_is_delivered(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 3)
    await bench.driver.purge(queue)
    sent = await bench.put(queue, 3)
    assert sorted(ids(await bench.drain(queue, 3))) == sorted(sent)


@proves("Purges", "purge", given=lambda claims: exact(claims) and not claims.idempotent_enqueue)
async def test_an_id_that_was_purged_may_be_sent_again(bench: Bench) -> None:
    queue = bench.queue()
    message = bench.message(queue)
    await bench.driver.enqueue(message)
    await bench.driver.purge(queue)
    await bench.driver.enqueue(message)
    assert ids(await bench.drain(queue, 1)) == [message.id]


@proves("Purges", "purge", given=lambda claims: claims.purge == "lossy", seconds=300)
async def test_a_purge_that_may_lose_needs_force(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bench.put(queue)
    async with service_of(bench) as service:
        with pytest.raises(UnsupportedError):
            await service.purge(queue)
        bench.driver = await bench.open()
        assert ids(await bench.drain(queue, 1)) == [sent]
    await bench.driver.purge(queue, force=True)


@refuses("Purges")
async def test_a_purge_is_refused_where_it_cannot_be_done(bench: Bench) -> None:
    queue = bench.queue()
    job = define_job(name="send", handler=lambda: None, queue=queue)
    async with service_of(bench, job) as service:
        with pytest.raises(UnsupportedError):
            await service.purge(queue, force=True)
        assert not bench.asked, "the broker was asked"
    bench.driver = await bench.open()
    await bench.nothing(queue)

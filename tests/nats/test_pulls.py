"""Requests that are open when a receive ends: the next one takes them over, and they take nothing from anybody."""

import asyncio
from datetime import timedelta

import pytest

from .conftest import SOON, take


@pytest.fixture(params=["2.9", "newest"])
def url(request, shared, modern):
    return {"2.9": shared, "newest": modern}[request.param].url


async def test_what_comes_between_two_receives_is_the_next_ones_and_spends_no_attempt(connect, url, message):
    receiver, sender = await connect(url), await connect(url)
    for number in range(20):
        waiting = asyncio.create_task(take(receiver))
        await asyncio.sleep(0.01)
        await sender.enqueue(message(f"low{number}"))
        [low] = await waiting  # and its requests at the more urgent levels are open
        await sender.enqueue(message(f"high{number}", priority=2))
        [high] = await take(receiver)
        assert (low.message.id, high.message.id, high.attempt) == (f"low{number}", f"high{number}", 1)
        await receiver.ack_batch([low, high])
    assert (await receiver.stats("q")).ready == 0


async def test_what_comes_when_a_receiver_stays_away_is_anothers_and_spends_no_attempt(connect, url, message):
    away, other, sender = await connect(url), await connect(url), await connect(url)
    for number in range(20):
        waiting = asyncio.create_task(take(away))
        await asyncio.sleep(0.01)
        await sender.enqueue(message(f"low{number}"))
        [low] = await waiting
        await asyncio.sleep(0.001 * number)
        await sender.enqueue(message(f"high{number}", priority=2))
        [high] = await take(other)
        assert (low.message.id, high.message.id, high.attempt) == (f"low{number}", f"high{number}", 1)
        await away.ack(low)
        await other.ack(high)


async def test_no_more_is_handed_out_than_was_asked_for_and_the_rest_comes_in_order(connect, url, message):
    """Levels that were empty are asked at once, and may then have more together than was wanted."""
    receiver, sender = await connect(url), await connect(url)
    assert await take(receiver, wait=timedelta(seconds=0.05)) == []
    jobs = [message(f"{level}-{number}", priority=level) for number in range(5) for level in (0, 1, 2)]
    await sender.enqueue_batch([(each, None) for each in jobs])
    seen = []
    while len(seen) < len(jobs):
        got = await take(receiver, limit=4, wait=SOON)
        assert 1 <= len(got) <= 4
        assert {each.attempt for each in got} == {1}
        seen += [each.message.id for each in got]
        await receiver.ack_batch(got)
    assert sorted(seen) == sorted(each.id for each in jobs)
    for level in "012":
        mine = [each for each in seen if each[0] == level]
        assert mine == sorted(mine), "a level's jobs come in the order in which they were sent"
    assert seen[:4] == ["2-0", "2-1", "2-2", "2-3"]

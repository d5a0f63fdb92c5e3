"""What was given up is kept whole with its reason, delivered to nobody, and sent back or purged on request."""

from dataclasses import replace
from datetime import timedelta
from typing import get_args, get_type_hints

import pytest

from waybill import define_job
from waybill.driver import DeadLetter, DeadReason, Delivery
from waybill.errors import LeaseLostError, UnsupportedError
from waybill.timing import ZERO

from ..bench import TICK, Bench, ids
from ..case import proves, refuses
from ..claims import Claims
from .test_lease import timed
from .test_payload import spoil
from .test_settling import lost_to_another
from .test_worker import service_of

ALL = ("Buries", "ReadsDeadLetters", "dead_browse")


def ordered(claims: Claims) -> bool:
    return bool(claims.dead_browse == "ordered")


async def pages(bench: Bench, queue: str, limit: int) -> list[list[DeadLetter]]:
    """Page after page, to the end."""
    found, after = list[list[DeadLetter]](), None
    for _ in range(100):
        page = await bench.driver.list_dead(queue, after=after, limit=limit)
        found.append(list(page.entries))
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages of dead letters do not end")


async def letters(bench: Bench, queue: str, count: int) -> list[DeadLetter]:
    """All dead letters of a queue; there must soon be this many."""
    end = bench.timer(bench.soon)
    while True:
        found = {each.message.id: each for page in await pages(bench, queue, 100) for each in page}
        if len(found) == count or end.left() <= ZERO:
            assert len(found) == count, f"{len(found)} dead letters, and {count} must be there"
            return list(found.values())
        await bench.pass_time(TICK)


async def bury(bench: Bench, queue: str, count: int) -> list[str]:
    """Messages that were sent, received and given up, one after the other; their ids."""
    sent = await bench.put(queue, count)
    for place, each in enumerate(await bench.receive(queue, limit=count)):
        await bench.driver.bury(each, bench.reason(f"failure {place}"))
    return sent


def of(found: list[DeadLetter]) -> list[str]:
    return sorted(each.message.id for each in found)


@proves("Buries")
async def test_a_buried_message_is_never_delivered(bench: Bench) -> None:
    queue = bench.queue()
    await bury(bench, queue, 2)
    await bench.nothing(queue, during=(bench.claims.lease or timedelta(seconds=1)) * 1.1)


@proves(*ALL)
async def test_a_dead_letter_is_kept_whole(bench: Bench) -> None:
    queue, able = bench.queue(), bench.claims
    group = "a b" if able.ordering == "group" else None
    message = bench.message(queue, headers={"trace": "a1", "empty": "", "text": "grüße"}, group=group)
    message = replace(message, priority=able.priorities - 1)
    await bench.driver.enqueue(message)
    await bench.driver.bury(await bench.take(queue), bench.reason())
    [letter] = await letters(bench, queue, 1)
    kept = letter.message
    assert (kept.id, kept.queue, kept.body) == (message.id, queue, message.body)
    assert (dict(kept.headers), kept.group, kept.priority) == (dict(message.headers), message.group, message.priority)


@proves(*ALL)
async def test_what_a_receiver_changes_is_not_changed_in_the_dead_letter(bench: Bench) -> None:
    queue = bench.queue()
    await bench.driver.enqueue(bench.message(queue, headers={"a": "1"}))
    await bench.driver.bury(await spoil(bench, queue), bench.reason())
    [letter] = await letters(bench, queue, 1)
    assert dict(letter.message.headers) == {"a": "1"}


@proves(*ALL)
async def test_a_dead_letter_of_any_bytes_is_kept_whole(bench: Bench) -> None:
    queue, body = bench.queue(), bytes(range(256)) * 40
    await bench.driver.enqueue(bench.message(queue, body))
    await bench.driver.bury(await bench.take(queue), bench.reason())
    [letter] = await letters(bench, queue, 1)
    assert letter.message.body == body


@proves(*ALL)
async def test_a_dead_letter_tells_its_reason(bench: Bench) -> None:
    queue, texts = bench.queue(), ["", "ValueError: 'größer' 世界\n\tline two 🙂 \"quoted\" 100%", "x" * 500, "ü" * 500]
    await bench.put(queue, len(texts))
    wanted: dict[str, DeadReason] = {}
    for place, (text, each) in enumerate(zip(texts, await bench.receive(queue, limit=len(texts)), strict=True)):
        reason = replace(bench.reason(text), attempt=place + 1, at=bench.now() - timedelta(hours=place))
        wanted[each.message.id] = reason
        await bench.driver.bury(each, reason)
    for letter in await letters(bench, queue, len(texts)):
        reason = wanted[letter.message.id]
        assert (letter.reason.error, letter.reason.attempt) == (reason.error, reason.attempt)
        assert abs(letter.reason.at - reason.at) <= timedelta(seconds=1), f"{letter.reason.at} for {reason.at}"


@proves(*ALL)
async def test_every_code_of_a_reason_is_kept(bench: Bench) -> None:
    queue, codes = bench.queue(), get_args(get_type_hints(DeadReason)["code"])
    await bench.put(queue, len(codes))
    for code, each in zip(codes, await bench.receive(queue, limit=len(codes)), strict=True):
        await bench.driver.bury(each, replace(bench.reason(), code=code))
    assert sorted(each.reason.code for each in await letters(bench, queue, len(codes))) == sorted(codes)


@proves(*ALL)
async def test_a_dead_letter_belongs_to_its_queue(bench: Bench) -> None:
    first = bench.queue()
    queues = [first, f"{first}.b", f"{first}-b", first.upper()]
    sent = {each: await bury(bench, each, 1) for each in queues}
    for each in queues:
        assert of(await letters(bench, each, 1)) == sent[each]


@proves(*ALL)
async def test_a_dead_letter_is_filed_where_it_is_said_and_goes_back_where_it_came_from(bench: Bench) -> None:
    queue, elsewhere = bench.queue(), bench.queue("graves")
    [sent] = await bench.put(queue)
    await bench.driver.bury(await bench.take(queue), bench.reason(), elsewhere)
    [letter] = await letters(bench, elsewhere, 1)
    assert (letter.message.id, letter.message.queue) == (sent, queue)
    assert await letters(bench, queue, 0) == []
    await bench.nothing(elsewhere)
    assert await bench.driver.retry_dead(elsewhere, None) == 1
    assert ids(await bench.drain(queue, 1)) == [sent]
    await bench.nothing(elsewhere)


@proves(*ALL, given=timed)
async def test_a_stale_receiver_buries_nothing(bench: Bench) -> None:
    queue = bench.queue()
    lost, held = await lost_to_another(bench, queue)
    with pytest.raises(LeaseLostError):
        await bench.driver.bury(lost, bench.reason())
    assert await letters(bench, queue, 0) == [], "a copy was filed before the receipt was looked at"
    await bench.driver.ack(held)


@proves(*ALL)
async def test_a_settled_delivery_is_not_buried(bench: Bench) -> None:
    queue = bench.queue()
    for settle in (bench.driver.ack, bench.driver.nack, lambda each: bench.driver.bury(each, bench.reason())):
        await bench.put(queue)
        delivery = await bench.take(queue)
        await settle(delivery)
        before = of([each for page in await pages(bench, queue, 100) for each in page])
        with pytest.raises(LeaseLostError):
            await bench.driver.bury(delivery, bench.reason("again"))
        assert of([each for page in await pages(bench, queue, 100) for each in page]) == before
        queue = bench.queue()


@proves("Buries")
async def test_a_buried_delivery_is_settled(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 2)
    buried, other = await bench.receive(queue, limit=2)
    await bench.driver.bury(buried, bench.reason())
    for settle in (bench.driver.ack, bench.driver.nack):
        with pytest.raises(LeaseLostError):
            await settle(buried)
    await bench.driver.ack(other)
    await bench.nothing(queue)


# -- pages ---------------------------------------------------------------------------------------------


@proves(*ALL, seconds=120)
async def test_pages_of_dead_letters_leave_none_out(bench: Bench) -> None:
    queue = bench.queue()
    sent = await bury(bench, queue, 12)
    await letters(bench, queue, 12)
    for limit in (1, 5, 6, 12, 13):
        found = [each.message.id for page in await pages(bench, queue, limit) for each in page]
        assert set(found) == set(sent), f"{len(set(found))} of 12 dead letters in pages of {limit}"
        assert not ordered(bench.claims) or len(found) == 12, f"pages of {limit} repeat an entry"


@proves(*ALL, given=ordered)
async def test_dead_letters_are_listed_oldest_first(bench: Bench) -> None:
    queue = bench.queue()
    await bench.put(queue, 6)
    buried = ids(got := await bench.receive(queue, limit=6))[::-1]
    for each in got[::-1]:
        await bench.driver.bury(each, replace(bench.reason(), at=bench.now()))
        await bench.pass_time(timedelta(milliseconds=2))
    found = [each.message.id for page in await pages(bench, queue, 4) for each in page]
    assert found == buried


@proves(*ALL)
async def test_a_queue_without_dead_letters_lists_none(bench: Bench) -> None:
    queue = bench.queue()
    assert await letters(bench, queue, 0) == []
    await bench.put(queue)
    assert await letters(bench, queue, 0) == []
    assert await bench.driver.retry_dead(queue, None) == 0
    assert await bench.driver.purge_dead(queue) in (0, None)
    await bench.drain(queue, 1)


@proves(*ALL)
async def test_reading_dead_letters_changes_nothing(bench: Bench) -> None:
    queue, other = bench.queue(), await bench.open()
    sent = await bury(bench, queue, 3)
    for _ in range(3):
        assert of(await letters(bench, queue, 3)) == sorted(sent)
    bench.driver = other
    assert of(await letters(bench, queue, 3)) == sorted(sent)
    await bench.nothing(queue)


# -- sending back --------------------------------------------------------------------------------------


@proves(*ALL)
async def test_a_dead_letter_that_is_sent_back_starts_anew(bench: Bench) -> None:
    queue = bench.queue()
    message = bench.message(queue, headers={"trace": "a1"})
    await bench.driver.enqueue(message)
    await bench.driver.nack(await bench.take(queue))
    await bench.driver.bury(await bench.take(queue), bench.reason())
    await letters(bench, queue, 1)
    assert await bench.driver.retry_dead(queue, None) == 1
    [again] = await bench.drain(queue, 1)
    assert (again.message.id, again.attempt) == (message.id, 1), "it has kept its attempts"
    assert (again.message.body, dict(again.message.headers)) == (message.body, {"trace": "a1"})
    assert await letters(bench, queue, 0) == []


@proves(*ALL)
async def test_a_dead_letter_may_die_again(bench: Bench) -> None:
    queue = bench.queue()
    [sent] = await bury(bench, queue, 1)
    await letters(bench, queue, 1)
    await bench.driver.retry_dead(queue, None)
    await bench.driver.bury(await bench.take(queue), bench.reason("the second time"))
    [letter] = await letters(bench, queue, 1)
    assert (letter.message.id, letter.reason.error) == (sent, "the second time")


@proves(*ALL)
async def test_only_the_chosen_dead_letters_are_sent_back(bench: Bench) -> None:
    queue = bench.queue()
    first, second, third, fourth = await bury(bench, queue, 4)
    await letters(bench, queue, 4)
    [waiting] = await bench.put(bench.queue())
    assert await bench.driver.retry_dead(queue, [third, first, "nobody", waiting]) == 2
    assert sorted(ids(await bench.drain(queue, 2))) == sorted([first, third])
    assert of(await letters(bench, queue, 2)) == sorted([second, fourth])
    assert await bench.driver.retry_dead(queue, [first]) == 0, "it is not dead any more"


@proves(*ALL)
async def test_no_ids_and_unknown_ids_send_nothing_back(bench: Bench) -> None:
    queue = bench.queue()
    sent = await bury(bench, queue, 2)
    await letters(bench, queue, 2)
    for chosen in ([], ["nobody"], [sent[0][:-1], f"{sent[0]}x", "%", "*"]):
        assert await bench.driver.retry_dead(queue, chosen) == 0
    await bench.nothing(queue)
    assert of(await letters(bench, queue, 2)) == sorted(sent)


@proves(*ALL)
async def test_all_dead_letters_of_one_queue_are_sent_back(bench: Bench) -> None:
    queue, other = bench.queue(), bench.queue()
    sent, others = await bury(bench, queue, 12), await bury(bench, other, 1)
    await letters(bench, queue, 12)
    assert await bench.driver.retry_dead(queue, None) == 12
    assert sorted(ids(await bench.drain(queue, 12))) == sorted(sent)
    assert of(await letters(bench, other, 1)) == others


# -- purging -------------------------------------------------------------------------------------------


@proves(*ALL)
async def test_a_purge_of_dead_letters_takes_those_of_one_queue_alone(bench: Bench) -> None:
    queue, other = bench.queue(), bench.queue()
    await bury(bench, queue, 3)
    kept = await bury(bench, other, 1)
    await letters(bench, queue, 3)
    delivery, sent = await _leased_and_waiting(bench, queue)
    assert await bench.driver.purge_dead(queue) in (3, None)
    assert await letters(bench, queue, 0) == []
    assert of(await letters(bench, other, 1)) == kept
    await bench.driver.ack(delivery)
    assert ids(await bench.drain(queue, 1)) == [sent]


async def _leased_and_waiting(bench: Bench, queue: str) -> tuple[Delivery, str]:
    await bench.put(queue)
    delivery = await bench.take(queue)
    [sent] = await bench.put(queue)
    return delivery, sent


@proves(*ALL, "Purges", given=lambda claims: claims.purge != "lossy")
async def test_a_purge_of_the_queue_leaves_its_dead_letters(bench: Bench) -> None:
    queue = bench.queue()
    sent = await bury(bench, queue, 2)
    await bench.put(queue, 2)
    await bench.driver.purge(queue, force=True)
    assert of(await letters(bench, queue, 2)) == sorted(sent)


@refuses("ReadsDeadLetters")
async def test_reading_dead_letters_is_refused_where_it_cannot_be_done(bench: Bench) -> None:
    queue = bench.queue()
    job = define_job(name="send", handler=lambda: None, queue=queue)
    async with service_of(bench, job) as service:
        for verb in (service.dead_letters, service.retry_dead, service.purge_dead):
            with pytest.raises(UnsupportedError):
                await verb(queue)
        assert not bench.asked, "the broker was asked"
    bench.driver = await bench.open()
    await bench.nothing(queue)

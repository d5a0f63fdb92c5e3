"""Dead letters."""

from datetime import UTC, datetime

from waybill.driver import UniqueKey
from waybill.errors import DeadReason

from .conftest import ids

WHEN = datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)


def why(text="broken"):
    return DeadReason("exhausted", text, 3, WHEN)


async def bury_all(driver, take, to=None, queue="q"):
    for number, each in enumerate(await take(queue=queue)):
        await driver.bury(each, why(f"broken {number} \0 ü \ud800"), to)


async def test_they_are_kept_whole_with_their_reason(driver, take, message):
    sent = message(
        "a", body=bytes(range(256)), unique=UniqueKey("k", "done"), group="g", priority=4, headers={"a": "b"}
    )
    await driver.enqueue(sent)
    await bury_all(driver, take)
    (letter,) = (await driver.list_dead("q")).entries
    assert (letter.message, letter.reason) == (sent, why("broken 0 \0 ü \ud800"))


async def test_they_are_listed_oldest_first_by_pages(driver, take, message):
    await driver.enqueue_batch([(message(str(number)), None) for number in range(7)])
    await bury_all(driver, take)
    listed, after = [], None
    while True:
        page = await driver.list_dead("q", after=after, limit=3)
        listed += [each.message.id for each in page.entries]
        after = page.next
        if after is None:
            break
    assert listed == [str(number) for number in range(7)]


async def test_some_are_sent_back_with_their_attempts_forgotten(driver, take, message):
    await driver.enqueue_batch([(message(str(number)), None) for number in range(5)])
    await bury_all(driver, take)
    assert await driver.retry_dead("q", ["1", "3", "unknown"]) == 2
    assert [(each.message.id, each.attempt) for each in await take()] == [("1", 1), ("3", 1)]
    assert (await driver.stats("q")).dead == 3


async def test_one_filed_under_another_queue_returns_to_its_own(driver, take, message):
    await driver.enqueue(message("a"))
    await bury_all(driver, take, to="trash")
    assert (await driver.stats("q")).dead == 0
    assert (await driver.stats("trash")).dead == 1
    assert await driver.retry_dead("trash", None) == 1
    assert ids(await take()) == ["a"]


async def test_one_whose_id_is_stored_again_is_not_stored_twice(driver, take, message):
    await driver.enqueue(message("a"))
    await bury_all(driver, take)
    await driver.enqueue(message("a"))
    assert await driver.retry_dead("q", None) == 1
    assert ids(await take()) == ["a"]


async def test_thousands_are_sent_back_and_purged(driver, message):
    await driver.enqueue_batch([(message(), None) for _ in range(2500)])
    for each in await driver.receive("q", limit=2500, wait=why().at - why().at):
        await driver.bury(each, why())
    assert await driver.retry_dead("q", None) == 2500
    for each in await driver.receive("q", limit=2500, wait=why().at - why().at):
        await driver.bury(each, why())
    assert await driver.purge_dead("q") == 2500
    assert await driver.purge_dead("q") == 0
    assert await driver.retry_dead("q", None) == 0


async def test_a_letter_of_another_program_can_be_read(driver, redis, prefix):
    member = "0" * 15 + "q:x"
    await redis.zadd(f"{prefix}:{{q}}:dead", {member: 0})
    await redis.hset(f"{prefix}:{{q}}:letters", member, b"\xff garbage")
    (letter,) = (await driver.list_dead("q")).entries
    assert (letter.message.body, letter.reason.code) == (b"\xff garbage", "undecodable")

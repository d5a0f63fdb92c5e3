"""Dead letters, which can only be looked at by taking them."""

import asyncio
from datetime import UTC, datetime

from waybill.driver import DeadReason

from .conftest import SOON, by_hand, ids, take


def because(text):
    return DeadReason("permanent", text, 1, datetime(2026, 1, 1, tzinfo=UTC))


async def bury(driver, message, count, queue="q"):
    for _ in range(count):
        await driver.enqueue(message(queue=queue))
    for number, each in enumerate(await take(driver, count, queue=queue)):
        await driver.bury(each, because(str(number)))


async def test_looking_often_loses_nothing_and_keeps_the_order(driver, message):
    """More of them than go back with one command."""
    await bury(driver, message, 70)
    for limit in (10, 33, 100) * 10:
        page = await driver.list_dead("q", limit=limit)
        assert [each.message.id for each in page.entries] == [str(number) for number in range(1, min(limit, 70) + 1)]
    assert (await driver.stats("q")).dead == 70


async def test_two_who_look_at_once_lose_nothing(driver, connect, message):
    await bury(driver, message, 20)
    other = await connect()
    await asyncio.gather(*(each.list_dead("q") for each in (driver, other) for _ in range(5)))
    page = await driver.list_dead("q")
    assert sorted(int(each.message.id) for each in page.entries) == list(range(1, 21))


async def test_one_that_is_sent_back_is_a_new_message(shared, driver, prefix, message):
    """With neither attempts nor the server's own headers of its earlier life."""
    await driver.enqueue(message("a", headers={"trace": "t"}))
    for _ in range(3):
        [got] = await take(driver)
        await driver.nack(got)
    [got] = await take(driver)
    await driver.bury(got, because("x"))
    assert await driver.retry_dead("q", ["a"]) == 1
    _, properties, _ = await by_hand(shared, lambda channel: channel.basic_get(f"{prefix}.q"))
    assert not {"x-death", "x-waybill-attempts"} & properties.headers.keys()
    assert not properties.headers.get("x-delivery-count")
    [got] = await take(driver)
    assert got.message.headers == {"trace": "t"}


async def test_a_reason_of_any_length_is_kept_as_far_as_a_header_goes(driver, message):
    await driver.enqueue(message("a"))
    [got] = await take(driver)
    await driver.bury(got, because("ü" * 1_000_000))
    [letter] = (await driver.list_dead("q")).entries
    assert letter.reason.error == "ü" * 16_384


async def test_what_another_program_put_there_is_listed_too(shared, driver, prefix, message):
    await bury(driver, message, 1)
    await by_hand(shared, lambda channel: channel.basic_publish("", f"{prefix}.q.dead", b"\xff?"))
    await asyncio.sleep(0.2)
    _, foreign = (await driver.list_dead("q")).entries
    assert foreign.message.body == b"\xff?"
    assert foreign.reason.code == "undecodable"
    assert ids(await take(driver)) if await driver.retry_dead("q", [foreign.message.id]) else False


async def test_thousands_are_sent_back_at_once(driver, message):
    await driver.enqueue_batch([(message(), None) for _ in range(2500)])
    buried = 0
    while buried < 2500:
        got = await driver.receive("q", limit=500, wait=SOON)
        await asyncio.gather(*(driver.bury(each, because("x")) for each in got))
        buried += len(got)
    assert await driver.retry_dead("q", None) == 2500
    assert (await driver.stats("q")).dead == 0

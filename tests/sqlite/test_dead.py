"""Dead letters are kept with their reason, listed in order, sent back or thrown away."""

from datetime import UTC, datetime, timedelta

from waybill.driver import DeadReason, QueueStats
from waybill_sqlite import settle

REASON = DeadReason("exhausted", "ValueError: 'ü'", 3, datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC))


async def bury(driver, message, *job_ids, to=None, **fields):
    for job_id in job_ids:
        sent = message(job_id, **fields)
        await driver.enqueue(sent)
        [delivery] = await driver.receive(sent.queue, limit=1, wait=timedelta())
        await driver.bury(delivery, REASON, to)


async def test_a_dead_letter_keeps_message_and_reason(driver, message):
    sent = message("a", headers={"h": "1"}, priority=3)
    await driver.enqueue(sent)
    [delivery] = await driver.receive("q", limit=1, wait=timedelta())
    await driver.bury(delivery, REASON)
    page = await driver.list_dead("q")
    assert [(each.message, each.reason) for each in page.entries] == [(sent, REASON)]
    assert page.next is None


async def test_dead_letters_are_listed_the_oldest_first_page_by_page(driver, message):
    await bury(driver, message, "e", "d", "c", "b", "a")
    seen, after = [], None
    while True:
        page = await driver.list_dead("q", after=after, limit=2)
        assert len(page.entries) <= 2
        seen += [each.message.id for each in page.entries]
        after = page.next
        if after is None:
            break
    assert seen == ["e", "d", "c", "b", "a"]


async def test_an_exact_page_has_no_next(driver, message):
    await bury(driver, message, "a", "b")
    assert (await driver.list_dead("q", limit=2)).next is None
    assert (await driver.list_dead("unheard-of")).entries == []


async def test_retried_letters_start_anew(driver, message, take):
    await bury(driver, message, "a", "b", "c")
    assert await driver.retry_dead("q", ["c", "a", "unheard-of"]) == 2
    assert [(each.message.id, each.attempt) for each in await take()] == [("a", 1), ("c", 1)]
    assert [each.message.id for each in (await driver.list_dead("q")).entries] == ["b"]
    assert await driver.retry_dead("q", None) == 1
    assert await driver.retry_dead("q", None) == 0
    assert await driver.retry_dead("unheard-of", None) == 0


async def test_a_letter_filed_elsewhere_goes_back_to_where_it_came_from(driver, message, take):
    await bury(driver, message, "a", to="graveyard")
    assert (await driver.list_dead("q")).entries == []
    [letter] = (await driver.list_dead("graveyard")).entries
    assert letter.message.queue == "q"
    assert await driver.stats("graveyard") == QueueStats(0, 0, 0, 1)
    assert await driver.retry_dead("graveyard", None) == 1
    assert [each.message.id for each in await take(queue="q")] == ["a"]


async def test_a_letter_whose_id_is_stored_again_is_not_stored_twice(driver, message, take):
    await bury(driver, message, "a")
    await driver.enqueue(message("a", body=b"new"))
    assert await driver.retry_dead("q", ["a"]) == 1
    assert [each.message.body for each in await take()] == [b"new"]


async def test_purge_dead_counts_and_leaves_the_rest(driver, message, take):
    await bury(driver, message, "a", "b")
    await bury(driver, message, "c", queue="other")
    await driver.enqueue(message("live"))
    assert await driver.purge_dead("q") == 2
    assert await driver.purge_dead("q") == 0
    assert len((await driver.list_dead("other")).entries) == 1
    assert [each.message.id for each in await take()] == ["live"]


async def test_many_letters_are_retried_and_purged_in_several_transactions(driver, message, take):
    await driver.enqueue_batch([(message(), None) for _ in range(4500)])
    await driver._database.writer.call(bury_all, await take(4500))
    assert await driver.retry_dead("q", None) == 4500
    assert (await driver.stats("q")).ready == 4500
    await driver._database.writer.call(bury_all, await take(4500))
    assert await driver.purge_dead("q") == 4500
    assert await driver.stats("q") == QueueStats(0, 0, 0, 0)


def bury_all(store, deliveries):
    for delivery in deliveries:
        settle.bury(store, delivery, REASON, None)

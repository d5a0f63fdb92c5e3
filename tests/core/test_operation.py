"""What an operator does: cancel, count, look at dead letters, retry and purge them, purge a queue."""

import pytest

from waybill import JobService, UnsupportedError, define_job
from waybill.testing import run_until_idle

ATTEMPTS = []
FAILING = define_job(name="failing", handler=lambda payload, ctx: ATTEMPTS.append(ctx.attempt) or 1 / 0, retry=1)
FINE = define_job(name="fine", handler=lambda payload: None)


@pytest.fixture(autouse=True)
def forget():
    ATTEMPTS.clear()


async def died(service, count=3):
    await service.enqueue_batch([FAILING.call(n, job_id=f"id{n}") for n in range(count)])
    await run_until_idle(service)


@pytest.mark.parametrize("delay", [0, "1h"], ids=["waiting", "delayed"])
@pytest.mark.parametrize("queue", [None, "emails"])
async def test_a_cancelled_job_never_starts(service, clock, delay, queue):
    result = await service.enqueue_in(FINE, 1, delay, queue="emails")
    assert await service.cancel(result.job_id, queue) is True
    clock.advance("2h")
    assert await run_until_idle(service, queues=["emails"]) == 0
    assert await service.cancel(result.job_id, queue) is False


async def test_cancelling_what_is_unknown_or_running_is_false(service, until):
    cancelled = []

    async def handler(ctx):
        cancelled.append(await ctx.service.cancel(ctx.job_id))

    assert await service.cancel("unknown") is False
    await service.enqueue(define_job(name="x", handler=handler))
    assert await run_until_idle(service) == 1
    assert cancelled == [False]


async def test_a_job_whose_lease_ran_out_waits_again_and_can_be_cancelled(service, driver, clock):
    result = await service.enqueue(FINE)
    await driver.receive("default", limit=1, wait=clock.now() - clock.now())
    assert not await service.cancel(result.job_id)
    clock.advance("60s")
    assert await service.cancel(result.job_id)


async def test_stats_count_each_state(service, driver, clock):
    await died(service, 1)
    await service.enqueue(FINE)
    await service.enqueue(FINE)
    await service.enqueue_in(FINE, None, "1h")
    await driver.receive("default", limit=1, wait=clock.now() - clock.now())
    stats = await service.stats("default")
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (1, 1, 1, 1)
    assert await service.stats("default") == stats, "counting changes nothing"


async def test_stats_of_an_unused_queue_are_zeros(service):
    stats = await service.stats("unused")
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (0, 0, 0, 0)


async def test_dead_letters_come_in_pages(service):
    await died(service, 25)
    pages, after = [], None
    while True:
        page = await service.dead_letters("default", after=after, limit=10)
        pages.append([each.message.id for each in page.entries])
        if page.next is None:
            break
        after = page.next
    assert [len(each) for each in pages] == [10, 10, 5]
    assert len({each for page in pages for each in page}) == 25


async def test_a_dead_letter_keeps_the_message_and_says_why(service):
    await died(service, 1)
    [letter] = (await service.dead_letters("default")).entries
    assert (letter.message.id, letter.message.job_name, letter.message.payload) == ("id0", "failing", 0)
    assert (letter.reason.code, letter.reason.attempt) == ("exhausted", 1)
    assert "ZeroDivisionError" in letter.reason.error


@pytest.mark.parametrize(("ids", "count"), [(None, 3), (["id1"], 1), (["id0", "id2", "gone"], 2), ([], 0)])
async def test_retried_dead_letters_start_again_with_attempt_1(service, ids, count):
    await died(service)
    ATTEMPTS.clear()
    assert await service.retry_dead("default", ids) == count
    assert (await service.stats("default")).dead == 3 - count
    assert await run_until_idle(service) == count
    assert [1] * count == ATTEMPTS


async def test_purging_the_dead_leaves_the_living(service):
    await died(service)
    await service.enqueue(FINE)
    assert await service.purge_dead("default") == 3
    stats = await service.stats("default")
    assert (stats.ready, stats.dead) == (1, 0)


async def test_purging_a_queue_leaves_leased_dead_and_other_queues(service, driver, clock):
    await died(service, 1)
    await service.enqueue_batch([FINE.call(), FINE.call(), FINE.call(delay="1h"), FINE.call(queue="other")])
    [leased] = await driver.receive("default", limit=1, wait=clock.now() - clock.now())
    assert await service.purge("default") == 2
    stats = await service.stats("default")
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (0, 0, 1, 1)
    assert (await service.stats("other")).ready == 1
    await driver.ack(leased)


VERBS = {
    "cancel": ("cancel", "id", "q"),
    "stats": ("stats", "q"),
    "dead_letters": ("dead_letters", "q"),
    "retry_dead": ("retry_dead", "q"),
    "purge_dead": ("purge_dead", "q"),
    "purge": ("purge", "q"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_what_a_driver_does_not_offer_is_unsupported_before_io(driver, wrapped, verb):
    spied = wrapped(driver)
    name, *arguments = VERBS[verb]
    with pytest.raises(UnsupportedError, match="this broker cannot"):
        await getattr(JobService(spied), name)(*arguments)
    assert [each for each, _ in spied.calls] == ["open"]


async def test_a_lossy_purge_needs_force(driver, wrapped):
    service = JobService(wrapped(driver, "purge", purge="lossy"))
    await service.enqueue(FINE)
    with pytest.raises(UnsupportedError, match="force=True"):
        await service.purge("default")
    assert await service.purge("default", force=True) == 1

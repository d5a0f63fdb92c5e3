"""enqueue_batch: everything checked before any I/O, one outcome per item, in order."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from waybill import (
    BrokerUnavailableError,
    DuplicateJobError,
    EnqueueError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
    InvalidJobPayloadError,
    Job,
    JobService,
    PayloadTooLargeError,
    Unique,
    define_job,
)
from waybill.testing import MemoryDriver

ONE = define_job(name="one", schema=int)
TWO = define_job(name="two", queue="second")
UNIQUE = define_job(name="unique", unique=Unique(key=str))


class Three(Job):
    async def handle(self, payload): ...


async def test_results_are_in_input_order(service, driver):
    result = await service.enqueue_batch([(ONE, 1), TWO.call({"a": 1}, delay="1m"), (Three, None), ["by-name", 2]])
    assert isinstance(result, Sequence)
    assert [each.status for each in result] == ["queued", "scheduled", "queued", "queued"]
    assert [each.queue for each in result] == ["default", "second", "default", "default"]
    assert [each.job_name for each in driver.enqueued] == ["one", "two", "Three", "by-name"]
    assert [each.job_id for each in result] == [each.message.id for each in driver.enqueued]
    assert driver.enqueued[1].delay == timedelta(minutes=1)
    assert result.ok == list(result)
    assert result.failed == []
    assert (len(result), result[0], result[-1]) == (4, result.ok[0], result.ok[3])
    result.raise_for_failed()


async def test_an_item_takes_the_options_of_a_sending_verb(service, driver):
    await service.enqueue_batch([ONE.call(1, job_id="mine", queue="q", priority=2, retries=1)])
    assert (driver.enqueued[0].message.id, driver.enqueued[0].queue) == ("mine", "q")


async def test_an_empty_batch_is_empty(service, driver):
    assert list(await service.enqueue_batch([])) == []


REFUSED = [
    ((ONE, "x"), InvalidJobPayloadError),
    ((ONE, "x" * 300_000), InvalidJobPayloadError),
    ((TWO, "x" * 300_000), PayloadTooLargeError),
    (TWO.call(1, queue="no queue"), EnqueueError),
    (TWO.call(1, at="2030-01-01T00:00:00"), ValueError),
    (TWO.call(1, priority=99), ValueError),
    ("not an item", EnqueueError),
    ((TWO,), EnqueueError),
]


@pytest.mark.parametrize("case", REFUSED, ids=range(len(REFUSED)))
async def test_a_refused_item_refuses_the_batch_before_any_io(wrapped, driver, case):
    item, error = case
    spied = wrapped(driver, "enqueue_batch")
    with pytest.raises(error) as caught:
        await JobService(spied).enqueue_batch([(ONE, 1), item, (ONE, 2)])
    assert isinstance(caught.value, EnqueueError)
    assert any("item 1 of 3" in each for each in caught.value.__notes__)
    assert spied.calls == []


async def test_a_key_twice_is_one_accepted_and_one_duplicate_in_place(service):
    result = await service.enqueue_batch([(UNIQUE, 1), (UNIQUE, 2), (UNIQUE, 1)])
    assert [isinstance(each, DuplicateJobError) for each in result] == [False, False, True]
    assert result.failed == [result[2]]
    assert len(result.ok) == 2
    assert result[2].existing_job_id == result[0].job_id
    with pytest.raises(DuplicateJobError) as caught:
        result.raise_for_failed()
    assert "1 of 3" in caught.value.__notes__[0]


async def test_a_skipped_duplicate_is_a_result_in_place(service):
    skip = define_job(name="skip", unique=Unique(key=str, on_conflict="skip"))
    first, second = await service.enqueue_batch([(skip, 1), (skip, 1)])
    assert (second.status, second.job_id) == ("duplicate", first.job_id)


async def test_what_the_broker_refuses_is_an_exception_in_place(service, driver):
    driver.fail_next(EnqueueRejectedError("full"))
    result = await service.enqueue_batch([(ONE, 1), (ONE, 2)])
    assert [type(each).__name__ for each in result] == ["EnqueueRejectedError", "EnqueueResult"]


@pytest.mark.parametrize("error", [BrokerUnavailableError("down"), OSError("broken driver")], ids=["down", "broken"])
async def test_a_batch_call_that_fails_whole_is_an_exception_for_each(wrapped, driver, error):
    async def fail(name, *args):
        if name == "enqueue_batch":
            raise error

    result = await JobService(wrapped(driver, "enqueue_batch", before=fail)).enqueue_batch([(ONE, 1), (ONE, 2)])
    kind = EnqueueUnavailableError if isinstance(error, BrokerUnavailableError) else EnqueueUnknownError
    assert [type(each) for each in result] == [kind, kind]
    assert all(each.__cause__ is error for each in result)


async def test_a_driver_that_tells_too_few_outcomes_leaves_them_unknown(driver, wrapped):
    broken = wrapped(driver)

    async def enqueue_batch(items):
        return ["only one"]

    broken.enqueue_batch = enqueue_batch
    result = await JobService(broken).enqueue_batch([(ONE, 1), (ONE, 2)])
    assert [type(each) for each in result] == [EnqueueUnknownError, EnqueueUnknownError]


@pytest.mark.parametrize("verbs", [(), ("enqueue_batch",)], ids=["one by one", "in batches"])
@pytest.mark.parametrize("flights", [1, 3])
async def test_progress_is_told_after_each_round_trip(driver, wrapped, verbs, flights):
    told = []
    service = JobService(wrapped(driver, *verbs, max_batch=100, parallel_batches=flights))
    result = await service.enqueue_batch([(ONE, n) for n in range(1050)], on_progress=lambda *at: told.append(at))
    assert [each.payload for each in sorted(driver.enqueued, key=lambda each: each.payload)] == list(range(1050))
    assert len(result.ok) == 1050
    assert max(told) == (1050, 1050)
    assert len(told) == 11
    assert told == sorted(told)


async def test_batches_are_of_the_size_the_driver_likes_and_as_many_at_a_time(driver, wrapped):
    under_way, most = 0, 0

    async def count(name, *args):
        nonlocal under_way, most
        if name == "enqueue_batch":
            assert len(args[0]) <= 10
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

    spied = wrapped(driver, "enqueue_batch", before=count, max_batch=10, parallel_batches=3)
    await JobService(spied).enqueue_batch([(ONE, n) for n in range(95)])
    assert sum(name == "enqueue_batch" for name, _ in spied.calls) == 10
    assert most == 3


async def test_a_batch_over_two_brokers_is_held_against_both_before_anything_is_sent(driver, wrapped):
    small = wrapped(MemoryDriver(), max_message_bytes=300)
    service = JobService(driver, drivers={"second": small})
    with pytest.raises(PayloadTooLargeError):
        await service.enqueue_batch([(ONE, 1), (TWO, "x" * 300)])
    assert driver.enqueued == []
    first, second = await service.enqueue_batch([(ONE, 1), (TWO, 2)])
    assert (first.queue, second.queue) == ("default", "second")
    assert [len(driver.enqueued), len(small.inner.enqueued)] == [1, 1]


async def test_a_second_broker_that_is_down_leaves_the_first_untouched(driver, wrapped):
    async def down(name, *args):
        raise BrokerUnavailableError("down")

    service = JobService(driver, drivers={"second": wrapped(MemoryDriver(), before=down)})
    with pytest.raises(EnqueueUnavailableError):
        await service.enqueue_batch([(ONE, 1), (TWO, 2)])
    assert driver.enqueued == []

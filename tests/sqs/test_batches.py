"""Many calls in few requests, and what becomes of each entry of one."""

import asyncio
from datetime import timedelta

import pytest

from waybill.errors import BrokerUnavailableError, EnqueueRejectedError, EnqueueUnknownError, LeaseLostError

NOW = timedelta()


async def test_256_calls_at_once_are_26_requests(connect, faulty, message):
    driver = await connect(faulty.url)
    await asyncio.gather(*(driver.enqueue(message()) for _ in range(256)))
    assert faulty.calls["SendMessageBatch"] == 26
    assert faulty.calls["SendMessage"] == 0


async def test_a_lone_call_leaves_at_once(driver, message):
    loop, took = asyncio.get_running_loop(), list[float]()
    for _ in range(20):
        start = loop.time()
        await driver.enqueue(message())
        took.append(loop.time() - start)
    assert min(took) < 0.05  # a wait for company would be in each of them


async def test_a_thousand_jobs_travel_ten_to_a_request_there_and_back(connect, faulty, message):
    driver = await connect(faulty.url)
    await driver.enqueue_batch([(message(), None) for _ in range(1000)])
    got = []
    while len(got) < 1000:
        some = await driver.receive("q", limit=100, wait=timedelta(seconds=5))
        assert some
        got += some
        assert await driver.ack_batch(some) == [None] * len(some)
    for verb in ("SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"):
        assert 1000 / faulty.calls[verb] > 9, f"{faulty.calls[verb]} calls of {verb}"


async def test_a_batch_of_more_than_a_mebibyte_is_split_by_bytes(connect, faulty, message, take, driver):
    sender = await connect(faulty.url)
    large = [message(body=b'{"jobName":"x","payload":"%b"}' % (b"x" * 300_000)) for _ in range(4)]
    outcomes = await sender.enqueue_batch([(each, None) for each in large])
    assert all(isinstance(each, str) for each in outcomes)
    assert faulty.calls["SendMessageBatch"] == 2
    assert sorted([len(each.message.body) for each in await take(limit=4)]) == [len(large[0].body)] * 4


async def test_a_refused_entry_is_told_in_its_place_and_nothing_is_sent_again(connect, faulty, message):
    driver = await connect(faulty.url)
    faulty.refuse_entries("SendMessageBatch", {3}, "InvalidMessageContents", sender_fault=True)
    outcomes = await driver.enqueue_batch([(message(str(number)), None) for number in range(10)])
    assert [number for number, each in enumerate(outcomes) if not isinstance(each, str)] == [3]
    assert isinstance(outcomes[3], EnqueueRejectedError)
    assert "InvalidMessageContents" in str(outcomes[3])
    assert "Nothing was stored" in str(outcomes[3])
    assert faulty.calls["SendMessageBatch"] == 1


async def test_only_the_entries_that_aws_failed_to_take_are_sent_again(connect, faulty, message, take, ids, driver):
    sender = await connect(faulty.url)
    faulty.refuse_entries("SendMessageBatch", {2, 5}, "InternalError", sender_fault=False)
    outcomes = await sender.enqueue_batch([(message(str(number)), None) for number in range(10)])
    assert all(isinstance(each, str) for each in outcomes)
    sent = [asked["Entries"] for verb, asked in faulty.asked if verb == "SendMessageBatch"]
    assert [len(each) for each in sent] == [10, 2]
    assert sorted(ids(await take(limit=20))) == sorted(str(number) for number in range(10))


async def test_what_aws_fails_to_take_again_and_again_is_told(connect, faulty, message):
    driver = await connect(faulty.url)
    faulty.refuse_entries("SendMessageBatch", {0}, "InternalError", sender_fault=False, times=9)
    with pytest.raises(EnqueueUnknownError):
        await driver.enqueue(message())
    assert faulty.calls["SendMessageBatch"] == 4


async def test_an_answer_that_never_comes_leaves_the_outcome_open(connect, faulty, message, take, driver):
    sender = await connect(faulty.url)
    await sender.queue_url("q")
    faulty.swallow_answer("SendMessageBatch")
    with pytest.raises(EnqueueUnknownError):
        await sender.enqueue(message("a"))
    assert [each.message.id for each in await take()] == ["a"]  # this time it was stored


async def test_a_repeat_after_a_lost_answer_is_one_job_on_a_fifo_queue(connect, faulty, message, ids):
    driver = await connect(faulty.url, fifo=True)
    await driver.queue_url("q")
    faulty.swallow_answer("SendMessageBatch")
    with pytest.raises(EnqueueUnknownError):
        await driver.enqueue(message("a"))
    await driver.enqueue(message("a"))
    assert ids(await driver.receive("q", limit=10, wait=timedelta(seconds=1))) == ["a"]


async def test_acks_of_one_turn_travel_together_and_each_has_its_result(connect, faulty, message, take):
    driver = await connect(faulty.url)
    await driver.enqueue_batch([(message(), None) for _ in range(20)])
    got = await take(limit=20, by=driver)
    faulty.refuse_entries("DeleteMessageBatch", {1}, "ReceiptHandleIsInvalid", sender_fault=True)
    outcomes = await asyncio.gather(*map(driver.ack, got), return_exceptions=True)
    assert [type(each) for each in outcomes if each is not None] == [LeaseLostError]
    assert faulty.calls["DeleteMessageBatch"] == 2


async def test_an_ack_that_aws_cannot_carry_out_may_be_repeated(connect, faulty, message, take):
    driver = await connect(faulty.url)
    await driver.enqueue(message())
    [delivery] = await take(by=driver)
    faulty.fail("DeleteMessageBatch", "InternalFailure", status=500)
    with pytest.raises(BrokerUnavailableError, match="may have happened"):
        await driver.ack(delivery)
    await driver.ack(delivery)
    with pytest.raises(LeaseLostError):
        await driver.ack(delivery)


async def test_throttled_calls_are_made_again_within_the_time_of_the_verb(connect, faulty, message, take, ids):
    driver = await connect(faulty.url)
    await driver.queue_url("q")
    faulty.fail("SendMessageBatch", "ThrottlingException", times=2)
    await driver.enqueue(message("a"))
    assert ids(await take(by=driver)) == ["a"]


async def test_throttling_that_lasts_is_told_and_nothing_is_stored(connect, faulty, message, take):
    driver = await connect(faulty.url)
    await driver.queue_url("q")
    faulty.fail("SendMessageBatch", "RequestThrottled", status=403, times=9)
    with pytest.raises(BrokerUnavailableError, match="throttles.*Nothing was stored"):
        await driver.enqueue(message())
    assert await take(by=driver, wait=NOW) == []

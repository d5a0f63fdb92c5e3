"""Leases, giving back and giving up, in the ways that are SQS's own."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from waybill.errors import BrokerUnavailableError, DeadReason, EnqueueUnknownError, LeaseLostError
from waybill.testing import VirtualClock

NOW, SOON = timedelta(), timedelta(seconds=5)
START = datetime(2026, 1, 1, tzinfo=UTC)


def reason(code="permanent", error="it failed"):
    return DeadReason(code, error, 1, datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_lease_is_renewed_up_to_twelve_hours_and_lost_there(connect, message, take):
    clock = VirtualClock(START)
    driver = await connect(lease="1h", clock=clock)
    await driver.enqueue(message())
    [delivery] = await take(by=driver)
    for _ in range(22):
        clock.advance("30m")
        delivery = await driver.extend(delivery)
    clock.advance("45m")
    delivery = await driver.extend(delivery)
    assert delivery.leased_until == pytest.approx(START + timedelta(hours=12), abs=timedelta(seconds=2))
    clock.advance("14m")
    clock.advance("59.5s")
    with pytest.raises(LeaseLostError):
        await driver.extend(delivery)


async def test_what_aws_does_not_hold_in_flight_any_more_is_lost(connect, faulty, message, take):
    driver = await connect(faulty.url)
    await driver.enqueue(message())
    [delivery] = await take(by=driver)
    faulty.refuse_entries("ChangeMessageVisibilityBatch", {0}, "MessageNotInflight", sender_fault=True)
    with pytest.raises(LeaseLostError):
        await driver.extend(delivery)


async def test_an_expired_receipt_of_a_fifo_queue_is_a_lost_lease(connect, faulty, message, take):
    driver = await connect(faulty.url, fifo=True)
    await driver.enqueue(message())
    [delivery] = await take(by=driver)
    code = "InvalidParameterValue"
    faulty.fail(
        "DeleteMessageBatch", code, message="Value for parameter ReceiptHandle is invalid. Reason: has expired."
    )
    with pytest.raises(LeaseLostError):
        await driver.ack(delivery)


async def test_a_nack_for_longer_than_sqs_can_hide_a_message_is_sent_anew(connect, faulty, message, take, aws, prefix):
    driver = await connect(faulty.url)
    await driver.enqueue(message("a", headers={"trace": "1"}))
    [delivery] = await take(by=driver)
    await driver.nack(delivery, delay=timedelta(hours=13))
    assert faulty.calls["ChangeMessageVisibilityBatch"] == 0
    [copy] = [asked["Entries"][0] for verb, asked in faulty.asked if verb == "SendMessageBatch"][1:]
    assert copy["DelaySeconds"] == 900
    counts = aws.sqs.get_queue_attributes(QueueUrl=await driver.queue_url("q"), AttributeNames=["All"])["Attributes"]
    assert (counts["ApproximateNumberOfMessagesDelayed"], counts["ApproximateNumberOfMessagesNotVisible"]) == ("1", "0")


async def test_a_nack_within_the_twelve_hours_moves_nothing(connect, faulty, message, take):
    driver = await connect(faulty.url)
    await driver.enqueue(message())
    [delivery] = await take(by=driver)
    await driver.nack(delivery, delay=timedelta(hours=11, minutes=59))
    assert faulty.calls["SendMessageBatch"] == 1
    [change] = [asked["Entries"][0] for verb, asked in faulty.asked if verb == "ChangeMessageVisibilityBatch"]
    assert change["VisibilityTimeout"] == 43_140


async def test_a_release_is_a_copy_that_has_lost_no_attempt_and_two_failures_make_no_second_copy(
    connect, faulty, message, take
):
    driver = await connect(faulty.url)
    await driver.enqueue(message("a"))
    [delivery] = await take(by=driver)
    await driver.nack(delivery)
    [delivery] = await take(by=driver)
    faulty.fail("DeleteMessageBatch", "InternalFailure", status=500, times=2)
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError):
            await driver.release(delivery)
    await driver.release(delivery)
    [again] = await take(limit=5, by=driver)
    assert (again.message.id, again.attempt) == ("a", 2)


async def test_a_crash_between_the_dead_letter_and_its_delete_loses_nothing(connect, faulty, message, take):
    dying, other = await connect(faulty.url, lease="1s"), await connect()
    await dying.enqueue(message("a"))
    [delivery] = await take(by=dying)
    faulty.fail("DeleteMessageBatch", "InternalFailure", status=500)
    with pytest.raises(BrokerUnavailableError):
        await dying.bury(delivery, reason())
    [again] = await take(by=other)  # its lease has ended, as nobody was there
    assert again.attempt == 2
    await other.bury(again, reason("exhausted"))
    found = (await other.list_dead("q")).entries
    assert {each.message.id for each in found} == {"a"}
    assert 1 <= len(found) <= 2


async def test_a_dead_letter_that_aws_may_have_stored_is_told_and_the_original_stays(connect, faulty, message, take):
    driver = await connect(faulty.url)
    await driver.enqueue(message("a"))
    [delivery] = await take(by=driver)
    faulty.swallow_answer("SendMessageBatch")
    with pytest.raises((BrokerUnavailableError, EnqueueUnknownError)):
        await driver.bury(delivery, reason())
    assert faulty.calls["DeleteMessageBatch"] == 0
    await driver.bury(delivery, reason())
    assert faulty.calls["DeleteMessageBatch"] == 1


async def test_what_sqs_itself_gave_up_is_a_dead_letter_with_a_reason(connect, message, take):
    driver = await connect(lease="1s", max_receives=2)
    await driver.enqueue(message("a"))
    for _ in range(2):
        [delivery] = await take(by=driver)
        await driver.nack(delivery)
    assert await take(by=driver, wait=timedelta(seconds=1)) == []
    [letter] = (await driver.list_dead("q")).entries
    assert (letter.message.id, letter.reason.code) == ("a", "lease-expired")
    assert "redrive" in letter.reason.error
    assert await driver.retry_dead("q", None) == 1
    assert [each.attempt for each in await take(by=driver)] == [1]


async def test_a_long_error_is_cut_and_a_large_job_is_a_dead_letter_all_the_same(driver, message, take):
    size = driver.capabilities.max_message_bytes
    await driver.enqueue(message(body=bytes(range(256)) * (size // 256)))
    [delivery] = await take()
    await driver.bury(delivery, reason(error="é" * 100_000))
    [letter] = (await driver.list_dead("q")).entries
    assert letter.message.body == delivery.message.body
    assert letter.reason.error == "é" * len(letter.reason.error)
    assert len(letter.reason.error) > 1000


async def test_a_second_purge_within_a_minute_is_told_and_harms_nothing(connect, faulty, message, take):
    driver = await connect(faulty.url)
    await driver.enqueue(message("a"))
    faulty.fail("PurgeQueue", "PurgeQueueInProgress")
    with pytest.raises(BrokerUnavailableError, match="within the last minute.*Nothing was changed"):
        await driver.purge("q", force=True)
    assert [each.message.id for each in await take(by=driver)] == ["a"]


async def test_reading_dead_letters_shows_them_again_to_the_next_reader(connect, driver, message, take):
    for number in range(12):
        await driver.enqueue(message(str(number)))
    for delivery in await take(limit=12):
        await driver.bury(delivery, reason())
    first = await driver.list_dead("q", limit=5)
    second = await driver.list_dead("q", after=first.next, limit=5)
    third = await driver.list_dead("q", after=second.next, limit=5)
    assert [len(each.entries) for each in (first, second, third)] == [5, 5, 2]
    assert third.next is None
    start = time.monotonic()
    again = await (await connect()).list_dead("q", limit=12)
    assert len(again.entries) == 12
    assert time.monotonic() - start < 10  # and not when what was read is visible by itself

"""FIFO queues: groups in order, also while they fail and while they wait, and what is recognised as sent before."""

import asyncio
from datetime import UTC, datetime, timedelta

NOW, SOON = timedelta(), timedelta(seconds=5)


async def one(driver, wait=SOON):
    [delivery] = await driver.receive("q", limit=1, wait=wait)
    return delivery


async def test_a_group_keeps_its_order_while_its_first_fails_again_and_again(connect, message):
    driver, other = await connect(fifo=True), await connect(fifo=True)
    await driver.enqueue_batch([(message(str(number), group="a"), None) for number in range(5)])
    came = []
    for number in range(5):
        for attempt in range(1, 4):
            receiver = other if attempt % 2 else driver
            delivery = await one(receiver)
            assert (delivery.message.id, delivery.attempt) == (str(number), attempt)
            await receiver.nack(delivery)
        delivery = await one(driver)
        came.append(delivery.message.id)
        await driver.ack(delivery)
    assert came == ["0", "1", "2", "3", "4"]


async def test_500_concurrent_calls_keep_the_order_of_each_group(connect, message):
    driver = await connect(fifo=True)
    await asyncio.gather(*(driver.enqueue(message(f"{n}", group=f"g{n % 5}")) for n in range(500)))
    came = {f"g{number}": [] for number in range(5)}
    while sum(map(len, came.values())) < 500:
        some = await driver.receive("q", limit=100, wait=SOON)
        assert some
        for each in some:
            came[each.message.group].append(int(each.message.id))
        await driver.ack_batch(some)
    assert came == {f"g{number}": list(range(number, 500, 5)) for number in range(5)}


async def test_an_id_is_recognised_for_minutes_also_when_its_job_is_done(connect, message):
    driver = await connect(fifo=True)
    again = message("a")
    first = await driver.enqueue(again)
    await driver.ack(await one(driver))
    assert await driver.enqueue(again) == first
    assert await driver.receive("q", limit=1, wait=NOW) == []


async def test_a_dead_letter_that_is_sent_back_at_once_is_no_repeat(connect, message):
    from waybill.errors import DeadReason

    driver = await connect(fifo=True)
    await driver.enqueue(message("a"))
    for _ in range(2):  # within the minutes in which the id is recognised
        await driver.bury(await one(driver), DeadReason("permanent", "no", 1, datetime.now(UTC)))
        assert await driver.retry_dead("q", None) == 1
    assert (await one(driver)).attempt == 1


async def test_a_delayed_message_waits_in_the_companion_and_joins_its_group_when_it_is_due(
    connect, message, aws, prefix
):
    driver = await connect(fifo=True)
    await driver.enqueue_in(message("late", group="a"), timedelta(seconds=1))
    await driver.enqueue(message("now", group="a"))
    names = {
        url.rpartition("/")[2]
        for url in (await asyncio.to_thread(aws.sqs.list_queues, QueueNamePrefix=prefix))["QueueUrls"]
    }
    assert names == {f"{prefix}-q.fifo", f"{prefix}-q-dead.fifo", f"{prefix}-q-later"}
    first = await one(driver)
    assert first.message.id == "now"
    assert await driver.receive("q", limit=1, wait=timedelta(seconds=2)) == []  # it is due, and its group is busy
    await driver.ack(first)
    assert (await one(driver)).message.id == "late"


async def test_a_delayed_message_that_is_sent_twice_runs_once(connect, message):
    driver = await connect(fifo=True)
    late = message("late")
    for _ in range(2):
        await driver.enqueue_in(late, timedelta(seconds=1))
    await driver.ack(await one(driver))
    assert await driver.receive("q", limit=1, wait=timedelta(seconds=1)) == []


async def test_without_a_companion_what_is_for_now_is_served_all_the_same(connect, message, aws, prefix):
    attributes = {"FifoQueue": "true"}
    await asyncio.to_thread(lambda: aws.sqs.create_queue(QueueName=f"{prefix}-q.fifo", Attributes=attributes))
    driver = await connect(fifo=True, create="never")
    await driver.enqueue(message("a"))
    assert (await one(driver)).message.id == "a"


async def test_a_priority_and_a_fifo_queue_exclude_each_other_and_the_claims_say_so(connect):
    standard, fifo = await connect(), await connect(fifo=True)
    assert (standard.capabilities.ordering, standard.capabilities.idempotent_enqueue) == ("none", None)
    assert (fifo.capabilities.ordering, fifo.capabilities.idempotent_enqueue) == ("group", timedelta(minutes=5))
    assert hasattr(standard, "release")
    assert not hasattr(fifo, "release")
    assert not hasattr(fifo.clone(), "release")


async def test_a_repeat_of_a_delayed_message_for_now_runs_once(connect, message):
    driver = await connect(fifo=True)
    await driver.enqueue_in(message("a"), timedelta(seconds=1))
    await driver.enqueue(message("a"))
    await driver.ack(await one(driver))
    assert await driver.receive("q", limit=1, wait=timedelta(seconds=2)) == []


async def test_what_another_program_sends_with_a_time_is_hidden_until_then(connect, message, aws):
    from waybill.envelope import wrap

    driver = await connect(fifo=True)
    url = await driver.queue_url("q")
    due = datetime.now(UTC) + timedelta(seconds=2)
    body = wrap(message("a"), due).decode()
    await asyncio.to_thread(
        lambda: aws.sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId="d")
    )
    delivery = await one(driver)
    assert datetime.now(UTC) >= due
    assert delivery.message.id == "a"

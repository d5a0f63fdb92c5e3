"""Queues on SQS: what they are called, when they are made, and those that are there already."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from waybill.errors import ConfigurationError, EnqueueRejectedError
from waybill_sqs.names import DEAD, FIFO, LATER, Names, Place
from waybill_sqs.records import Record

SOON = timedelta(seconds=5)
queues = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
tricky = st.sampled_from(
    ["a-dead", "a.dead", "a_2Edead", "a-p1", "a_2Dp1", "a-later", "a.b", "a_2Eb", "a_5F2E", "a_", "A"]
)
parts = st.sampled_from(["", DEAD, LATER, "p1", "p9"])
every_names = st.builds(Names, st.sampled_from(["", "waybill", "w-dead"]), st.booleans())


@given(every_names, queues | tricky, parts)
def test_every_queue_has_a_name_that_sqs_takes_and_that_is_read_back(names, queue, part):
    name = names.of(Place(queue, part))
    assert len(name) <= 80
    assert set(name.removesuffix(FIFO)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert names.read(name) in (Place(queue, part), None)
    if len(queue) < 20:
        assert names.read(name) == Place(queue, part)


@given(every_names, st.tuples(queues | tricky, parts), st.tuples(queues | tricky, parts))
def test_no_two_queues_share_a_name(names, one, other):
    assert (names.of(Place(*one)) == names.of(Place(*other))) == (one == other)


async def test_a_missing_queue_is_made_with_a_dead_letter_queue_and_kept_for_two_weeks(driver, message, aws, prefix):
    await driver.enqueue(message())
    url = await driver.queue_url("q")
    made = await asyncio.to_thread(
        lambda: aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    )
    assert made["MessageRetentionPeriod"] == "1209600"
    assert made["VisibilityTimeout"] == "60"
    assert f"{prefix}-q-dead" in made["RedrivePolicy"]
    assert '"maxReceiveCount": 100' in made["RedrivePolicy"]


async def test_a_queue_that_is_there_with_other_settings_is_used_as_it_is(driver, message, take, aws, prefix, ids):
    await asyncio.to_thread(
        lambda: aws.sqs.create_queue(QueueName=f"{prefix}-q", Attributes={"VisibilityTimeout": "7"})
    )
    await driver.enqueue(message("a"))
    assert ids(await take()) == ["a"]


async def test_a_queue_that_another_process_makes_at_the_same_time_is_used_as_it_is(
    connect, faulty, message, take, ids, driver
):
    await driver.queue_url("q")
    racing = await connect(faulty.url)
    faulty.fail("GetQueueUrl", "QueueDoesNotExist", times=2)
    faulty.fail("CreateQueue", "QueueNameExists", times=2)
    await racing.enqueue(message("a"))
    assert ids(await take()) == ["a"]


async def test_many_calls_at_once_look_a_queue_up_once(connect, faulty, message):
    driver = await connect(faulty.url)
    await asyncio.gather(*(driver.enqueue(message()) for _ in range(50)))
    assert faulty.calls["CreateQueue"] == 2


async def test_a_missing_queue_that_may_not_be_made_is_an_error_that_names_it(connect, message, prefix):
    driver = await connect(create="never")
    with pytest.raises(EnqueueRejectedError, match=f"{prefix}-q.*Nothing was stored") as refused:
        await driver.enqueue(message())
    assert "create=auto" in str(refused.value)
    with pytest.raises(ConfigurationError, match="does not exist"):
        await driver.receive("q", limit=1, wait=SOON)


async def test_a_queue_that_vanishes_is_told_and_made_anew(driver, message, take, aws, ids):
    await driver.enqueue(message("a"))
    url = await driver.queue_url("q")
    await asyncio.to_thread(lambda: aws.sqs.delete_queue(QueueUrl=url))
    with pytest.raises(EnqueueRejectedError, match="does not exist"):
        await driver.enqueue(message("b"))
    await driver.enqueue(message("b"))
    assert ids(await take()) == ["b"]


async def test_queues_that_exist_already_are_used_by_their_urls(connect, message, aws, prefix, ids):
    def make(name):
        return aws.sqs.create_queue(QueueName=f"{prefix}{name}")["QueueUrl"]

    main, dead = await asyncio.to_thread(lambda: (make("My_Jobs"), make("their-dlq")))
    driver = await connect(queues={"q": main, "q.dead": dead}, create="never")
    await driver.enqueue(message("a"))
    [delivery] = await driver.receive("q", limit=1, wait=SOON)
    assert delivery.message.id == "a"
    raw = await asyncio.to_thread(
        lambda: aws.sqs.get_queue_attributes(QueueUrl=main, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    )
    assert raw["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"
    assert await driver.queues() == ["q"]


async def test_a_record_of_another_programs_queue_is_refused(driver):
    record = Record.of(
        {"MessageId": "1", "ReceiptHandle": "h", "Body": "{}", "Attributes": {"ApproximateReceiveCount": "1"}}
    )
    with pytest.raises(ConfigurationError, match="none of this application's queues"):
        await driver.admit("arn:aws:sqs:eu-west-1:1:other", [record], held=SOON)


async def test_a_producer_in_another_language_needs_to_know_nothing_but_the_queue(driver, take, aws):
    """As Glasswork sends it: camelCase, a TypeScript date, and fields that are its own."""
    url = await driver.queue_url("q")
    body = (
        '{"jobName":"send-welcome","jobId":"8c0a6f1e","payload":{"userId":"u1","name":"Zoë 🙂"},'
        '"enqueuedAt":"2026-01-01T00:00:00.000Z","metadata":{"traceId":"t"},"attempt":1}'
    )
    await asyncio.to_thread(lambda: aws.sqs.send_message(QueueUrl=url, MessageBody=body))
    [delivery] = await take()
    assert (delivery.message.id, delivery.message.job_name) == ("8c0a6f1e", "send-welcome")
    assert delivery.message.payload == {"userId": "u1", "name": "Zoë 🙂"}


async def test_a_plain_job_is_on_the_wire_what_other_languages_expect(driver, message, aws):
    body = b'{"v":1,"jobId":"1","jobName":"send","queue":"q","payload":{"a":1},"enqueuedAt":"2026-01-01T00:00:00Z"}'
    await driver.enqueue(message("1", body=body))
    url = await driver.queue_url("q")
    got = await asyncio.to_thread(lambda: aws.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)["Messages"])
    assert got[0]["Body"] == body.decode()


async def test_a_fair_queue_is_told_whom_a_job_is_for(connect, faulty, message):
    driver = await connect(faulty.url, fair="tenant")
    for body in (b'{"jobName":"x","metadata":{"tenant":"acme"}}', b'{"jobName":"x"}', b"no job"):
        await driver.enqueue(message(body=body))
    sent = [each for verb, asked in faulty.asked if verb == "SendMessageBatch" for each in asked["Entries"]]
    assert [each.get("MessageGroupId") for each in sent] == ["acme", None, None]


@pytest.mark.parametrize("text", ["🙂", "\x00\x01\x1f", "\ufffe\uffff", "\r\n", "\u2028", "世界"])
async def test_what_sqs_does_not_take_is_wrapped_and_arrives(driver, message, take, text):
    await driver.enqueue(message(body=text.encode(), headers={"text": text}))
    [delivery] = await take()
    assert (delivery.message.body.decode(), delivery.message.headers["text"]) == (text, text)

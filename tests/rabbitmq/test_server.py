"""What a server may do: refuse, fill up, forget, and be set up by somebody else."""

import asyncio
import time
from datetime import timedelta

import pika
import pytest

from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
)

from .conftest import NOW, SOON, again, by_hand, control, ids, start, take


@pytest.fixture(scope="module")
def own():
    """A server whose settings these tests change."""
    with start() as broker:
        yield broker


@pytest.mark.timeout(120)
async def test_while_the_memory_alarm_is_on_acks_get_through_and_an_enqueue_ends_in_time(own, connect, message):
    driver = await connect(own.url, timeout="2s")
    for _ in range(3):
        await driver.enqueue(message())
    first, second, third = await take(driver, 3)
    try:
        await asyncio.to_thread(control, own, "set_vm_memory_high_watermark", "0.00001")
        # The one that meets the alarm may be stored; those that know of it are not even sent.
        with pytest.raises((EnqueueUnknownError, EnqueueUnavailableError)):
            await driver.enqueue(message("meets it"))
        begun = time.monotonic()
        with pytest.raises(EnqueueUnavailableError, match="alarm"):
            await driver.enqueue(message("refused"))
        assert 1.5 < time.monotonic() - begun < 10
        await driver.ack(first)
        await driver.nack(second)
        with pytest.raises(BrokerUnavailableError):
            await driver.nack(third, delay=timedelta(seconds=1))
        assert any("takes no messages now" in note.fact for note in await driver.diagnose())
    finally:
        await asyncio.to_thread(control, own, "set_vm_memory_high_watermark", "0.4")
    assert await again(driver.enqueue, message("healed")) == "healed"
    await driver.nack(third)
    got = await take(driver, 3)
    got += await driver.receive("q", limit=5, wait=timedelta(seconds=1))
    came = {each.message.id: each.attempt for each in got}
    came.pop("meets it", None)
    assert came == {second.message.id: 2, third.message.id: 2, "healed": 1}


async def test_an_enqueue_that_waits_for_the_alarm_to_end_goes_on(own, connect, message):
    driver = await connect(own.url, timeout="30s")
    await driver.enqueue(message())
    try:
        await asyncio.to_thread(control, own, "set_vm_memory_high_watermark", "0.00001")
        waiting = asyncio.ensure_future(driver.enqueue(message("patient")))
        await asyncio.sleep(0.5)
        assert not waiting.done()
    finally:
        await asyncio.to_thread(control, own, "set_vm_memory_high_watermark", "0.4")
    assert await waiting == "patient"


async def test_a_missing_queue_is_told_although_the_server_confirms(connect, message):
    driver = await connect(declare="none")
    with pytest.raises(EnqueueRejectedError, match="no such queue"):
        await driver.enqueue(message())
    outcomes = await driver.enqueue_batch([(message(), None), (message(queue="other"), None)])
    assert all(isinstance(each, EnqueueRejectedError) for each in outcomes)


async def test_a_queue_that_was_deleted_is_made_anew_by_the_next_enqueue(shared, driver, prefix, message):
    await driver.enqueue(message("a"))
    await by_hand(shared, lambda channel: channel.queue_delete(f"{prefix}.q"))
    assert await driver.enqueue(message("b")) == "b"
    assert ids(await take(driver)) == ["b"]


async def test_a_ladder_that_was_deleted_is_made_anew(shared, driver, message):
    await driver.enqueue_in(message("a"), timedelta(milliseconds=100))
    await take(driver)
    names = driver._server.names

    def tear_down(channel):
        for level in names.levels():
            channel.exchange_delete(level.exchange)
            channel.queue_delete(level.queue)

    await by_hand(shared, tear_down)
    assert await driver.enqueue_in(message("b"), timedelta(milliseconds=100)) == "b"
    assert ids(await take(driver)) == ["b"]


@pytest.mark.parametrize(
    ("differing", "told"),
    [({"x-delivery-limit": 7}, "x-delivery-limit"), ({"x-max-length": 5}, "x-max-length"), (None, "x-")],
)
async def test_a_queue_that_an_operator_declared_otherwise_is_left_alone_and_told(
    shared, driver, connect, prefix, message, differing, told
):
    arguments = {} if differing is None else driver._server.names.arguments("q") | differing
    await by_hand(shared, lambda channel: channel.queue_declare(f"{prefix}.q", durable=True, arguments=arguments))
    with pytest.raises(EnqueueRejectedError, match=rf"(?s){told}.*declare=passive"):
        await driver.enqueue(message())
    with pytest.raises(ConfigurationError, match=told):
        await driver.receive("q", limit=1, wait=NOW)
    passive = await connect(declare="passive")
    await passive.enqueue(message("a"))
    assert ids(await take(passive)) == ["a"]


async def test_a_queue_that_is_full_refuses_and_loses_nothing(shared, connect, prefix, message):
    full = {"x-queue-type": "quorum", "x-max-length": 2, "x-overflow": "reject-publish"}
    await by_hand(shared, lambda channel: channel.queue_declare(f"{prefix}.q", durable=True, arguments=full))
    driver = await connect(declare="passive")
    outcomes = []
    for number in range(8):
        outcomes += await driver.enqueue_batch([(message(str(number)), None)])
    stored = [each for each in outcomes if isinstance(each, str)]
    refused = [each for each in outcomes if isinstance(each, EnqueueRejectedError)]
    assert len(stored) + len(refused) == 8
    assert refused
    assert ids(await take(driver, len(stored))) == stored


async def test_passive_looks_for_queues_and_makes_none(shared, connect, prefix, message):
    driver = await connect(declare="passive")
    with pytest.raises(EnqueueUnavailableError, match="no such queue"):
        await driver.enqueue(message())
    with pytest.raises(BrokerUnavailableError, match="no such queue"):
        await driver.receive("q", limit=1, wait=NOW)
    quorum = {"x-queue-type": "quorum"}
    await by_hand(shared, lambda channel: channel.queue_declare(f"{prefix}.q", durable=True, arguments=quorum))
    await driver.enqueue(message("a"))
    assert ids(await take(driver)) == ["a"]


async def test_missing_permissions_are_told_and_heal_when_given(own, connect, prefix, message):
    await asyncio.to_thread(control, own, "add_user", "jobs", "pw")
    try:
        await asyncio.to_thread(control, own, "set_permissions", "jobs", "^$", "^$", "^$")
        driver = await connect(own.url.replace("guest:guest", "jobs:pw"))
        with pytest.raises(EnqueueRejectedError, match="permission"):
            await driver.enqueue(message())
        with pytest.raises(BrokerUnavailableError, match="permission"):
            await driver.receive("q", limit=1, wait=NOW)
        mine = f"^{prefix}[.:].*"
        await asyncio.to_thread(
            control, own, "set_permissions", "jobs", mine, f"{mine}|^amq\\.default$", mine
        )  # the smallest that will do
        assert await again_enqueue(driver, message("a")) == "a"
        await driver.enqueue_in(message("b"), timedelta(milliseconds=100))
        got = await take(driver, 2)
        assert sorted(ids(got)) == ["a", "b"]
        await driver.nack(got[0], delay=timedelta(milliseconds=100))
        await driver.ack(got[1])
        await driver.ack((await take(driver))[0])
        assert (await driver.stats("q")).ready == 0
    finally:
        await asyncio.to_thread(control, own, "delete_user", "jobs")


async def again_enqueue(driver, message):
    for _ in range(20):  # permissions are cached by each channel for a while
        try:
            return await driver.enqueue(message)
        except EnqueueRejectedError:
            await asyncio.sleep(0.5)
    raise AssertionError("permissions that were given are not noticed")


async def test_the_server_may_close_every_connection(own, connect, message):
    driver = await connect(own.url)
    await driver.enqueue(message("a"))
    waiting = asyncio.ensure_future(driver.receive("empty", limit=1, wait=SOON))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(control, own, "close_all_connections", "maintenance")
    with pytest.raises(BrokerUnavailableError, match="maintenance"):
        await asyncio.wait_for(waiting, 5)
    assert await again(driver.enqueue, message("b")) == "b"
    assert ids(await again(take, driver, 2)) == ["a", "b"]


async def test_publishes_that_are_under_way_when_the_connection_ends_are_unknown_or_stored(shared, driver, message):
    await driver.enqueue(message("first"))
    sending = [asyncio.ensure_future(driver.enqueue(message(str(number)))) for number in range(300)]
    await asyncio.sleep(0.01)
    shared.cut()
    outcomes = await asyncio.gather(*sending, return_exceptions=True)
    stored = {each for each in outcomes if isinstance(each, str)}
    unknown = {each.job_id for each in outcomes if isinstance(each, EnqueueUnknownError)}
    assert all(isinstance(each, str | BrokerUnavailableError | EnqueueUnknownError) for each in outcomes)
    found = set()
    while got := await again(driver.receive, "q", limit=100, wait=timedelta(seconds=1)):
        found |= set(ids(got))
        await driver.ack_batch(got)
    assert stored | {"first"} <= found <= stored | unknown | {"first"}


async def test_another_program_may_send_and_read_jobs(shared, driver, prefix, message):
    """The body is the job's own JSON, and the id is AMQP's message id."""
    body = b'{"v":1,"jobId":"from-elsewhere","jobName":"greet","payload":"world"}'
    await driver.enqueue(message("ours", body=body))
    _, properties, read = await by_hand(shared, lambda channel: channel.basic_get(f"{prefix}.q", auto_ack=True))
    assert (properties.message_id, properties.content_type, read) == ("ours", "application/json", body)
    headers = pika.BasicProperties(headers={"trace": "a1", "CC": ["nowhere"]})
    await by_hand(shared, lambda channel: channel.basic_publish("", f"{prefix}.q", body, headers))
    [got] = await take(driver)
    assert (got.message.id, got.message.body, dict(got.message.headers)) == ("from-elsewhere", body, {"trace": "a1"})


async def test_the_longest_names_go_through_a_delay(connect, message):
    driver = await connect(prefix="p" * 64)
    queue = "q" * 64
    await driver.enqueue_in(message("a", queue=queue), timedelta(milliseconds=100))
    assert ids(await take(driver, queue=queue)) == ["a"]


async def test_without_a_prefix_a_queue_has_the_name_that_jobs_give_it(shared, connect, prefix, message):
    driver = await connect(prefix="")
    await driver.enqueue(message("a", queue=prefix))
    assert await by_hand(shared, lambda channel: channel.basic_get(prefix, auto_ack=True)[1].message_id) == "a"
    await by_hand(shared, lambda channel: [channel.queue_delete(prefix), channel.queue_delete(f"{prefix}.dead")])


@pytest.mark.parametrize("job_id", ["ä" * 200, "x" * 300, "a\0b", "\ud800", "🙂"])
async def test_ids_of_any_kind_arrive(driver, message, job_id):
    await driver.enqueue(message(job_id))
    [got] = await take(driver)
    assert got.message.id == job_id


async def test_priorities_are_strict_on_classic_queues(connect, message):
    driver = await connect(queue_type="classic", max_priority=9)
    for priority in (0, 5, 9, 1, 5, 0):
        await driver.enqueue(message(priority=priority))
    await driver.enqueue_in(message(priority=8), timedelta(milliseconds=100))
    await asyncio.sleep(0.5)
    came = []
    for _ in range(7):
        [got] = await take(driver)
        came.append(got.message.priority)
        await driver.ack(got)
    assert came == [9, 8, 5, 5, 1, 0, 0]

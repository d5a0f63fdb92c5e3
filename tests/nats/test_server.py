"""Servers that die, stand still, lose their streams or refuse: errors in time that say what to do, and nothing lost."""

import asyncio
import contextlib
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest

from waybill import open_driver
from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DeadReason,
    DriverClosedError,
    EnqueueError,
    EnqueueRejectedError,
    EnqueueUnknownError,
)
from waybill_nats import NatsDriver
from waybill_nats.diagnose import notes

from .conftest import NOW, Process, client, everything, take

# -- what is gone for a while -----------------------------------------------------------------------------


async def test_a_server_that_is_down_is_an_error_by_the_deadline(nowhere):
    """nats-py alone would try for ever."""
    driver = NatsDriver(f"nats://{nowhere}", timeout="2s")
    start = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match="Is it running"):
        await driver.open()
    assert time.monotonic() - start < 10
    await driver.close()


async def test_a_server_that_accepts_and_says_nothing_is_an_error_by_the_deadline():
    async def silent(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    driver = NatsDriver(f"nats://127.0.0.1:{listener.sockets[0].getsockname()[1]}", timeout="500ms")
    start = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        await driver.open()
    assert time.monotonic() - start < 10
    await driver.close()
    listener.close()
    await listener.wait_closed()


async def test_the_next_server_of_the_url_is_taken_where_one_is_down(connect, shared, nowhere, namespace, message):
    port = shared.url.rpartition(":")[2]
    driver = await connect(f"nats://{nowhere},127.0.0.1:{port}/{namespace}")
    await driver.enqueue(message("a"))
    assert set(await everything(driver, 1)) == {"a"}


async def test_kills_of_the_server_while_32_publish_lose_nothing_that_was_accepted(server, connect, message):
    driver = await connect(server.url, lease="2s")
    accepted, unknown, going = set(), set(), True

    async def publish():
        while going:
            one = message()
            try:
                await driver.enqueue(one)
                accepted.add(one.id)
            except EnqueueUnknownError:
                unknown.add(one.id)
            except BrokerUnavailableError:
                await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(publish()) for _ in range(32)]
    for _ in range(3):
        await asyncio.sleep(0.3)
        server.kill()
        await asyncio.to_thread(server.start)
    going = False
    await asyncio.gather(*tasks)
    found = set(await everything(driver, len(accepted)))
    assert accepted <= found <= accepted | unknown
    assert len(accepted) > 100


async def test_an_enqueue_repeated_over_an_outage_is_one_job(server, connect, message):
    driver = await connect(server.url, timeout="500ms")
    await driver.enqueue(message("first"))
    server.pause()
    with pytest.raises((EnqueueUnknownError, BrokerUnavailableError)):
        await driver.enqueue(message("a"))
    server.resume()
    await asyncio.sleep(0.1)
    for _ in range(20):
        try:
            await driver.enqueue(message("a"))
            break
        except (EnqueueUnknownError, BrokerUnavailableError):
            await asyncio.sleep(0.1)
    assert set(await everything(driver, 2)) == {"first", "a"}
    assert await take(driver, wait=NOW) == []


async def test_a_waiting_receiver_has_the_next_job_soon_after_the_servers_return(server, connect, message):
    driver = await connect(server.url)
    await take(driver, wait=NOW)
    got = []

    async def receive():
        while not got:
            try:
                got.extend(await driver.receive("q", limit=1, wait=timedelta(seconds=20)))
            except BrokerUnavailableError:
                await asyncio.sleep(0.05)

    receiving = asyncio.create_task(receive())
    await asyncio.sleep(0.3)
    server.kill()
    await asyncio.to_thread(server.start)
    other = await connect(server.url)
    await other.enqueue(message("a"))
    start = time.monotonic()
    await receiving
    assert time.monotonic() - start < 10
    assert got[0].message.id == "a"


# -- what somebody has deleted ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["this machine's", "the newest"])
async def test_a_consumer_that_was_deleted_is_made_again_and_nothing_is_lost(
    connect, shared, modern, namespace, message, version, caplog
):
    url = (shared if version == "this machine's" else modern).url
    driver = await connect(url)
    await driver.enqueue(message("a"))
    await driver.ack_batch(await take(driver))
    async with client(url) as (_, api):
        for level in range(3):
            await api(f"CONSUMER.DELETE.{namespace}_q.level{level}")
        await driver.enqueue(message("b"))
        cpu = time.process_time()
        assert set(await everything(driver, 1)) == {"b"}
        assert time.process_time() - cpu < 1, "it looks for the consumer in a busy loop"
    assert "is missing" in caplog.text


@pytest.mark.parametrize("version", ["this machine's", "the newest"])
async def test_a_stream_that_was_deleted_under_a_receiver_is_made_again(
    connect, shared, modern, namespace, message, version, caplog
):
    url = (shared if version == "this machine's" else modern).url
    driver = await connect(url)
    await take(driver, wait=NOW)
    got = []

    async def receive():
        while not got:
            with contextlib.suppress(BrokerUnavailableError):  # while the server is still deleting it
                got.extend(await driver.receive("q", limit=1, wait=timedelta(seconds=8)))

    receiving = asyncio.create_task(receive())
    await asyncio.sleep(0.1)
    cpu = time.process_time()
    async with client(url) as (_, api):
        assert (await api(f"STREAM.DELETE.{namespace}_q"))["success"]
    await asyncio.sleep(0.1)
    await driver.enqueue(message("c"))  # which makes it
    await receiving
    assert [each.message.id for each in got] == ["c"]
    assert time.process_time() - cpu < 2, "it looks for the stream in a busy loop"
    assert "is missing" in caplog.text


async def test_a_stream_that_was_deleted_is_an_error_where_none_is_made(connect, shared, namespace, message):
    driver, strict = await connect(), await connect(create="never")
    await driver.enqueue(message("a"))
    await driver.ack_batch(await take(driver))
    assert await take(strict, wait=NOW) == []
    async with client(shared.url) as (_, api):
        assert (await api(f"STREAM.DELETE.{namespace}_q"))["success"]
    with pytest.raises(EnqueueError, match="Nothing was stored"):
        await strict.enqueue(message("b"))
    with pytest.raises(ConfigurationError, match="missing"):
        await take(strict, wait=timedelta(seconds=1))


# -- what is set otherwise -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"discard": "old", "max_msgs": 10}, "discard=old with max_msgs"),
        ({"max_age": 3600 * 10**9}, "max_age"),
        ({"storage": "memory"}, "storage=memory"),
        ({"retention": "limits"}, "retention=limits"),
    ],
)
async def test_a_stream_that_would_lose_jobs_is_refused(driver, shared, namespace, message, changed, told):
    config = {"name": f"{namespace}_q", "subjects": [f"{namespace}.q.>"], "retention": "workqueue", "storage": "file"}
    async with client(shared.url) as (_, api):
        assert "error" not in await api(f"STREAM.CREATE.{namespace}_q", **(config | {"discard": "new"} | changed))
        with pytest.raises(ConfigurationError, match=told):
            await driver.enqueue(message())


async def test_a_stream_that_is_set_otherwise_is_used_and_told_of(driver, shared, namespace, message, caplog):
    config = {"subjects": [f"{namespace}.q.>"], "retention": "workqueue", "storage": "file", "discard": "new"}
    async with client(shared.url) as (_, api):
        await api(f"STREAM.CREATE.{namespace}_q", name=f"{namespace}_q", duplicate_window=10**9, **config)
    await driver.enqueue(message("a"))
    assert "duplicate_window" in caplog.text
    assert set(await everything(driver, 1)) == {"a"}


async def test_a_stream_with_the_same_subjects_is_told_and_nothing_is_stored(driver, shared, namespace, message):
    async with client(shared.url) as (_, api):
        await api("STREAM.CREATE.theirs", name="theirs", subjects=[f"{namespace}.q.>"])
        with pytest.raises(EnqueueRejectedError, match=r"another stream has subjects.*Nothing was stored"):
            await driver.enqueue(message())
        await api("STREAM.DELETE.theirs")
    await driver.enqueue(message("a"))
    assert set(await everything(driver, 1)) == {"a"}


async def test_many_may_open_one_namespace_at_once(shared, namespace):
    """NATS 2.9 tells its time only by a message that is stored: each of them stores one, in the same place."""
    drivers = [NatsDriver(f"{shared.url}/{namespace}") for _ in range(16)]
    try:
        await asyncio.gather(*(each.open() for each in drivers))
    finally:
        for each in drivers:
            await each.close()


async def test_of_many_that_make_one_queue_at_once_none_is_refused(connect, message):
    """NATS 2.9 shows a stream before it listens, and may say that its subjects are another's."""
    drivers = [await connect() for _ in range(16)]
    for round_ in range(40):
        await asyncio.gather(*(each.enqueue(message(queue=f"q{round_}")) for each in drivers))


async def test_another_lease_or_other_levels_are_refused_with_both_values_and_the_way_out(connect, message):
    driver = await connect(lease="30s")
    await driver.enqueue(message("a"))
    await take(driver, wait=NOW)
    with pytest.raises(ConfigurationError, match=r"lease=45s.*30s.*change=true"):
        await connect(lease="45s")
    with pytest.raises(ConfigurationError, match=r"priorities=5.*3 levels"):
        await connect(lease="30s", priorities=5)
    changed = await connect(lease="45s", change=True)
    await changed.enqueue(message("b"))
    assert len(await take(changed)) == 1
    assert (await connect(lease="45s")).capabilities.lease == timedelta(seconds=45)


@pytest.fixture
def plain(program):
    process = Process(program, config="# no JetStream")
    yield process
    process.stop()


async def test_a_server_without_jetstream_is_refused_with_the_cure(plain):
    driver = NatsDriver(plain.url, timeout="2s")
    with pytest.raises(ConfigurationError, match=r"JetStream is not enabled.*-js"):
        await driver.open()
    await driver.close()


# -- who may do what -----------------------------------------------------------------------------------------

RIGHTS = """
jetstream {{ store_dir: {folder}/js }}
authorization {{ users: [
  {{ user: all, password: "p/w#x@%" }}
  {{ user: mute, password: m, permissions: {{ publish: {{ deny: ["deaf.q.>"] }} }} }}
  {{ user: blind, password: b, permissions: {{ publish: {{ deny: ["$JS.API.INFO"] }} }} }}
  {{ user: sender, password: s, permissions: {{
      publish: ["$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.MSG.GET.*",
                "$JS.API.STREAM.MSG.DELETE.KV_shop", "$KV.shop.>", "shop.>"], subscribe: ["_INBOX.>"] }} }}
  {{ user: worker, password: w, permissions: {{
      publish: ["$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.MSG.GET.*",
                "$JS.API.STREAM.MSG.DELETE.KV_shop", "$KV.shop.>", "shop.>", "$JS.API.CONSUMER.DURABLE.CREATE.*.*",
                "$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.MSG.NEXT.*.*", "$JS.ACK.>"],
      subscribe: ["_INBOX.>"] }} }}
  {{ user: operator, password: o, permissions: {{
      publish: ["$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.MSG.GET.*",
                "$JS.API.STREAM.MSG.DELETE.*", "$KV.shop.>", "shop.>", "$JS.API.CONSUMER.DURABLE.CREATE.*.*",
                "$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.MSG.NEXT.*.*", "$JS.ACK.>", "$JS.API.STREAM.NAMES",
                "$JS.API.STREAM.PURGE.*", "$JS.API.CONSUMER.PAUSE.*.*"],
      subscribe: ["_INBOX.>"] }} }}
] }}
"""


@pytest.fixture(scope="module")
def guarded(program):
    process = Process(program, config=RIGHTS)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def guarded_modern(newest):
    process = Process(newest, config=RIGHTS)
    yield process
    process.stop()


async def test_a_missing_right_is_named(guarded, message):
    port = guarded.port
    driver = NatsDriver(f"nats://mute:m@127.0.0.1:{port}/deaf", timeout="15s")
    await driver.open()
    start = time.monotonic()
    with pytest.raises(EnqueueRejectedError, match=r'right to publish to "deaf\.q\.0\.a".*Nothing was stored'):
        await driver.enqueue(message("a"))
    assert time.monotonic() - start < 14
    await driver.close()
    blind = NatsDriver(f"nats://blind:b@127.0.0.1:{port}", timeout="3s")
    with pytest.raises(ConfigurationError, match=r'right to publish to "\$JS\.API\.INFO"'):
        await blind.open()
    await blind.close()


async def test_the_smallest_permissions_of_the_readme_suffice(guarded, message):
    sender = NatsDriver(f"nats://sender:s@127.0.0.1:{guarded.port}/shop", lease="2s")
    worker = NatsDriver(f"nats://worker:w@127.0.0.1:{guarded.port}/shop", lease="2s")
    from waybill.driver import UniqueKey

    await sender.open()
    await worker.open()
    await sender.enqueue(message("a", unique=UniqueKey("k", "done")))
    await sender.enqueue_in(message("b"), timedelta(seconds=0.2))
    [first] = await take(worker)
    await worker.release(first)
    [first] = await take(worker)
    assert first.attempt == 1
    await worker.nack(await worker.extend(first), delay=timedelta(seconds=0.1))
    assert set(await everything(worker, 2)) == {"a", "b"}
    await sender.close()
    await worker.close()


async def test_the_operators_permissions_of_the_readme_suffice(guarded_modern, message):
    """On a server that cancels, which needs most of them."""
    driver = NatsDriver(f"nats://operator:o@127.0.0.1:{guarded_modern.port}/shop", lease="2s")
    await driver.open()
    for each in ("a", "b", "c", "d"):
        await driver.enqueue(message(each))
    await driver.enqueue_in(message("later"), timedelta(hours=1))
    assert await driver.queues() == ["q"]
    assert await driver.cancel("q", "d")
    assert await driver.cancel("q", "later")
    for each in (await take(driver, limit=2))[:2]:
        await driver.bury(each, DeadReason("permanent", "broken", 1, datetime.now(UTC)))
    assert len((await driver.list_dead("q")).entries) == 2
    assert await driver.retry_dead("q", ["a"]) == 1
    assert await driver.purge_dead("q") == 1
    assert (await driver.stats("q")).ready == 2
    assert await driver.purge("q") == 2
    assert await driver.diagnose()
    await driver.close()


async def test_a_wrong_password_is_told_without_any_password(guarded):
    for password in ("wrong-S3CRET", "p%2Fw%23S3CRET"):
        driver = NatsDriver(f"nats://all:{password}@127.0.0.1:{guarded.port}")
        with pytest.raises(ConfigurationError, match="does not accept this user") as refused:
            await driver.open()
        await driver.close()
        assert "S3CRET" not in f"{refused.value} {refused.value.__cause__!r} {driver!r}"
    right = NatsDriver(f"nats://all:p%2Fw%23x%40%25@127.0.0.1:{guarded.port}")
    await right.open()
    await right.close()


def test_options_are_checked_before_anything_is_sent():
    for url, told in {
        "nats://h/?lease=60": "no unit",
        "nats://h/?leas=60s": "lease",
        "nats://h/?priorities=11": "1 to 10",
        "nats://h/?scheduler=native&max_jobs=5": "exclude each other",
        "nats://h/?creds=a&nkey=b": "exclude each other",
        "nats://user:pw@h/?creds=a": "exclude each other",
        "nats://h/a.b": "namespace",
        "nats://h/?tls_ca=x": r"tls\+nats",
        "nats://h/?inbox_prefix=a b": "inbox_prefix",
    }.items():
        with pytest.raises(ConfigurationError, match=told):
            open_driver(url)


async def test_a_file_of_credentials_that_cannot_be_used_is_told_at_once(tmp_path):
    (tmp_path / "S3CRET").write_text("-----BEGIN NATS USER JWT-----\nS3CRET\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for file, told in {"none": "cannot be read", "bytes": "no text", "S3CRET": "holds no user's seed"}.items():
        for name in ("creds", "nkey"):
            driver = NatsDriver("nats://127.0.0.1:1", **{name: str(tmp_path / file)})
            with pytest.raises(ConfigurationError, match=told) as refused:
                await driver.open()
            await driver.close()
            assert "S3CRET" not in str(refused.value)


# -- what doctor says ----------------------------------------------------------------------------------------


async def test_doctor_tells_of_one_replica_of_old_servers_and_of_what_it_cannot_see(connect, modern):
    told = {each.fact: each.level for each in await (await connect()).diagnose()}
    assert any("2.10.23" in fact and level == "warning" for fact, level in told.items())
    assert any("one server" in fact and level == "warning" for fact, level in told.items())
    assert any("sync_interval" in fact for fact in told)
    new = await connect(modern.url)
    assert not any("2.10.23" in each.fact for each in await new.diagnose())
    assert next(iter(notes(new._facts, new.options))).level == "ok"


def test_the_servers_of_the_tests_are_of_two_ages(program, newest):
    told = [subprocess.run([each, "--version"], capture_output=True, text=True).stdout for each in (program, newest)]
    assert told[0] != told[1]


# -- closing --------------------------------------------------------------------------------------------------


async def test_a_receive_that_is_still_making_its_queue_ends_as_closed(connect, shared):
    for steps in range(25):
        driver = await connect(shared.url)
        receiving = asyncio.create_task(driver.receive(f"new-{steps}", limit=1, wait=timedelta(seconds=20)))
        for _ in range(steps * 2):
            await asyncio.sleep(0)
        await driver.close()
        with pytest.raises(DriverClosedError):
            await receiving

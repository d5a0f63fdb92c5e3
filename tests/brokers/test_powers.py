"""What may be done to each broker, as a process and as a container."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from waybill_conformance.brokers import BrokerMissingError, PowerMissingError, start
from waybill_conformance.brokers.rabbitmq import REST
from waybill_conformance.brokers.skipping import skip_or_fail

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]  # the first run may install packages

WAYS = [(name, how) for name in ("redis", "nats", "rabbitmq", "sqs") for how in ("process", "container")]
WAYS.append(("ministack", "process"))
SAME = {"ministack": "sqs"}
EMULATORS = {"sqs"}  # those that lose all they have
EVERY = pytest.mark.parametrize("which", WAYS, ids="-".join)
KEEPING = pytest.mark.parametrize("which", [way for way in WAYS if way[0] not in EMULATORS], ids="-".join)
EMULATED = pytest.mark.parametrize("which", [way for way in WAYS if way[0] in EMULATORS], ids="-".join)


@pytest.fixture(scope="module")
def started(request):
    """The brokers that the chosen tests want, started side by side; or why one is missing."""
    here = [item for item in request.session.items if item.path == request.path]
    wanted = {item.callspec.params["which"] for item in here if hasattr(item, "callspec")}
    with contextlib.ExitStack() as brokers, ThreadPoolExecutor(4) as pool:
        starting = {way: pool.submit(start, way[0], how=way[1]) for way in sorted(wanted)}
        for future in starting.values():
            if future.exception() is None:
                brokers.enter_context(future.result())
        pool.shutdown()
        yield starting


@pytest.fixture
def broker(started, which):
    try:
        return started[which].result()
    except BrokerMissingError as missing:
        # A broker that is required must come by some way, not by each.
        ways = [way for way in started if SAME.get(way[0], way[0]) == SAME.get(which[0], which[0])]
        if any(started[way].exception() is None for way in ways):
            pytest.skip(f"NOT TESTED THIS WAY: {missing}")
        skip_or_fail(missing)


@pytest.fixture
def client(which):
    return {"redis": OfRedis, "nats": OfNats, "rabbitmq": OfRabbit, "sqs": OfSqs, "ministack": OfSqs}[which[0]]


class OfRedis:
    def ask(self, url, *words):
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=3) as redis:
            redis.sendall(" ".join(words).encode() + b"\r\n")
            return redis.recv(1024).decode().split("\r\n")

    def put(self, url, body):
        assert self.ask(url, "RPUSH", "waybill", body)[0].startswith(":")

    def count(self, url):
        return int(self.ask(url, "LLEN", "waybill")[0].removeprefix(":"))


class OfNats:
    def put(self, url, body):
        async def work(stream):
            await stream.add_stream(name="waybill", subjects=["waybill"])
            await stream.publish("waybill", body.encode())

        asyncio.run(self.connected(url, work))

    def count(self, url):
        async def work(stream):
            with contextlib.suppress(self.errors().NotFoundError):
                return (await stream.stream_info("waybill")).state.messages
            return 0

        return asyncio.run(self.connected(url, work))

    def errors(self):
        from nats.js import errors

        return errors

    async def connected(self, url, work):
        import nats

        connection = await nats.connect(url, connect_timeout=3, max_reconnect_attempts=0, allow_reconnect=False)
        try:
            return await work(connection.jetstream(timeout=3))
        finally:
            await connection.close()


class OfRabbit:
    declared: ClassVar = set()

    @contextlib.contextmanager
    def channel(self, url):
        import pika

        parameters = pika.URLParameters(url + "?socket_timeout=3&blocked_connection_timeout=3&stack_timeout=4")
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("waybill", durable=True)
            if url not in self.declared:
                self.declared.add(url)
                time.sleep(REST.total_seconds())
            yield channel

    def put(self, url, body):
        import pika

        with self.channel(url) as channel:
            channel.basic_publish("", "waybill", body.encode(), pika.BasicProperties(delivery_mode=2), mandatory=True)

    def count(self, url):
        with self.channel(url) as channel:
            return channel.queue_declare("waybill", passive=True).method.message_count


class OfSqs:
    @contextlib.contextmanager
    def queue(self, url):
        import boto3

        parts = urlsplit(url)
        client = boto3.client(
            "sqs",
            region_name=parts.hostname,
            endpoint_url=parse_qs(parts.query)["endpoint_url"][0],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        with contextlib.closing(client):
            address = client.create_queue(QueueName="waybill")["QueueUrl"]
            assert urlsplit(address).netloc in url, "the queue's own URL leads past the proxy"
            yield client, address

    def put(self, url, body):
        with self.queue(url) as (client, address):
            client.send_message(QueueUrl=address, MessageBody=body)

    def count(self, url):
        with self.queue(url) as (client, address):
            found = client.get_queue_attributes(QueueUrl=address, AttributeNames=["ApproximateNumberOfMessages"])
            return int(found["Attributes"]["ApproximateNumberOfMessages"])


def idle(broker) -> socket.socket:
    """A connection on which the server has said something, or nothing for a while."""
    connection = socket.create_connection(broker.proxy.address, timeout=5)
    end = time.monotonic() + 5
    while broker.proxy.open == 0:
        assert time.monotonic() < end
        time.sleep(0.005)
    return connection


def until_closed(connection):
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass


@EVERY
def test_a_client_is_served_through_the_proxy_and_without_it(broker, client):
    before, passed = client().count(broker.url), broker.proxy.connections
    assert passed > 0
    client().put(broker.direct_url, "direct")
    assert broker.proxy.connections == passed
    assert client().count(broker.url) == before + 1


@KEEPING
def test_a_restart_keeps_the_url_and_what_was_confirmed_and_ends_every_connection(broker, client):
    url, before = broker.url, client().count(broker.url)
    client().put(url, "kept")
    with idle(broker) as connection:
        broker.restart()
        until_closed(connection)
    assert broker.url == url
    assert client().count(url) == before + 1  # at once: it is ready when restart returns


@EMULATED
def test_a_restart_that_would_lose_messages_is_refused_unless_that_is_wanted(broker, client):
    client().put(broker.url, "kept")
    with pytest.raises(PowerMissingError, match="nothing was done"):
        broker.restart()
    assert client().count(broker.url) > 0
    broker.restart(forgetful=True)
    assert client().count(broker.url) == 0


@EVERY
def test_a_paused_broker_accepts_connections_and_answers_when_it_is_resumed(broker, client):
    broker.pause()
    broker.pause()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(client().count(broker.url)))
    asking.start()
    asking.join(0.4)
    assert asking.is_alive()
    assert answers == []
    broker.resume()
    broker.resume()
    asking.join(10)
    assert len(answers) == 1


@KEEPING
def test_a_paused_broker_can_be_restarted_and_is_not_paused_any_more(broker, client):
    client().put(broker.url, "kept")
    broker.pause()
    broker.restart()
    assert client().count(broker.url) > 0


@pytest.mark.parametrize("which", [("redis", "process"), ("redis", "container")], ids="-".join)
def test_a_broker_that_has_died_can_be_restarted_and_a_paused_one_stopped(started, which, client):
    if started[which].exception():
        pytest.skip(f"NOT TESTED THIS WAY: {started[which].exception()}")
    with start(which[0], how=which[1]) as broker:
        client().put(broker.url, "kept")
        client().ask(broker.url, "SHUTDOWN", "NOSAVE")
        broker.restart()
        assert client().count(broker.url) == 1
        broker.pause()


@EVERY
def test_a_cut_ends_every_connection_and_the_next_one_is_served(broker, client):
    with idle(broker) as connection:
        broker.cut()
        until_closed(connection)
    client().count(broker.url)


@EVERY
def test_nothing_listens_but_on_loopback(broker):
    ports = {broker.proxy.address[1], broker.proxy.upstream[1]}
    if broker.how == "process":
        ports.update(broker._server._site.ports)
    listening = []
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(name) as table:
            listening += [line.split()[1].split(":") for line in table if line.split()[3] == "0A"]
    found = [(address, int(number, 16)) for address, number in listening if int(number, 16) in ports]
    assert {port for _, port in found} == ports
    assert {address for address, _ in found} <= {"0100007F", "00000000000000000000000001000000"}


@EVERY
def test_a_stopped_broker_leaves_no_process_no_container_and_no_folder(broker, which, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    broker = start(which[0], how=which[1])
    marks = traces(broker, tmp_path)
    assert marks
    broker.stop()
    broker.stop()
    assert os.listdir(tmp_path) == []
    assert not traces_of(marks)


def test_a_killed_test_process_leaves_no_container():
    try:
        start("redis", how="container").stop()
    except BrokerMissingError as missing:
        pytest.skip(f"NOT TESTED THIS WAY: {missing}")
    script = (
        "import os, signal; from waybill_conformance.brokers import start; broker = start('redis', how='container');"
        "print(broker._server._docker.id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    marks = set(subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True).stdout.split())
    assert marks
    end = time.monotonic() + 10
    while traces_of(marks):
        assert time.monotonic() < end
        time.sleep(0.05)


def traces(broker, folder):
    """What can be searched for when the broker is gone."""
    if broker.how == "container":
        return {broker._server._docker.id}
    return {str(child.pid) for child in broker._server._children.values()}


def traces_of(marks):
    """Those of them that still live."""
    containers = subprocess.run(["docker", "ps", "-aq", "--no-trunc"], capture_output=True, text=True).stdout.split()
    groups = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True).stdout.splitlines()
    alive = {line.split()[0] for line in groups if not line.split()[1].startswith("Z")}
    return marks & (set(containers) | alive)

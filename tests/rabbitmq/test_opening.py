"""Opening and closing: what cannot work is refused at once, says why, and tells no secret."""

import asyncio
import logging
import socket
import subprocess
import time
from dataclasses import dataclass

import pytest

from waybill.driver import BrokerUrl
from waybill.errors import BrokerUnavailableError, ConfigurationError, DriverClosedError
from waybill_conformance.brokers import broker_or_skip
from waybill_conformance.brokers.ports import free_port
from waybill_rabbitmq import RabbitMQDriver

from .conftest import NOW, Tuned, again, ids, take

SECRET = "S3cret/#?@pass"
ENCODED = "S3cret%2F%23%3F%40pass"


def server_of(broker):
    return "{}:{}".format(*broker._server.address)


async def refused(url, **options):
    driver = RabbitMQDriver(url, **options)
    begun = time.monotonic()
    with pytest.raises((ConfigurationError, BrokerUnavailableError)) as error:
        await driver.open()
    assert time.monotonic() - begun < 20
    told = f"{error.value!r} {error.value} {driver!r} {error.value.__cause__}"
    assert SECRET not in told
    assert ENCODED not in told
    return error.value


async def test_a_wrong_password_is_told_as_one(shared):
    error = await refused(f"amqp://guest:{ENCODED}@{server_of(shared)}/")
    assert isinstance(error, ConfigurationError)
    assert "user and password" in str(error)


async def test_a_wrong_virtual_host_is_told_as_one(shared):
    error = await refused(f"amqp://guest:guest@{server_of(shared)}/nowhere")
    assert isinstance(error, ConfigurationError)
    assert "virtual host" in str(error)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid:5672"])
async def test_a_wrong_host_is_unavailable(host):
    error = await refused(f"amqp://guest:{ENCODED}@{host}/")
    assert isinstance(error, BrokerUnavailableError)
    assert host in str(error)


async def test_a_server_that_speaks_something_else_is_told_in_time():
    async def greet(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert isinstance(await refused(f"amqp://guest:guest@127.0.0.1:{port}/"), BrokerUnavailableError)


async def test_a_server_that_says_nothing_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        error = await refused(f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/", timeout="500ms")
        assert isinstance(error, BrokerUnavailableError)
        assert time.monotonic() - begun < 9


async def test_the_next_host_is_asked_when_one_does_not_answer(shared, connect, message):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = f"127.0.0.1:1,127.0.0.1:{silent.getsockname()[1]},{server_of(shared)}"
        driver = await connect(f"amqp://guest:guest@{hosts}/", timeout="3s")
        await driver.enqueue(message("a"))
        assert ids(await take(driver)) == ["a"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("lease=60s", "no option 'lease'"),
        ("prefetsch=5", "did you mean 'prefetch'"),
        ("timeout=10", "timeout"),
        ("queue_type=stream", "queue_type"),
        ("delivery_limit=-1", "delivery_limit"),
        ("max_priority=9", "queue_type=classic"),
        ("queue_type=classic&max_priority=10", "max_priority"),
        ("prefix=a%20b", "prefix"),
        ("heartbeat=1ms", "heartbeat"),
        ("delay_levels=0", "delay_levels"),
        ("delay_unit=1.5ms", "delay_unit"),
        ("consumer_timeout=0s", "consumer_timeout"),
        ("prefetch=70000", "prefetch"),
        ("tls_cert=a.crt", "tls_key"),
    ],
)
def test_options_that_are_no_good_are_refused_by_name(options, told):
    with pytest.raises(ConfigurationError, match=told):
        RabbitMQDriver(f"amqp://guest:{ENCODED}@host/?{options}")


def test_a_url_says_all_that_keywords_say():
    url = "amqp://h/shop?timeout=3s&prefix=p&queue_type=classic&declare=passive&delivery_limit=7&max_priority=3"
    url += "&delay_unit=50ms&delay_levels=20&consumer_timeout=2h&prefetch=9&single_active_consumer=true&heartbeat=5s"
    driver = RabbitMQDriver(
        "amqp://h/shop", timeout="3s", prefix="p", queue_type="classic", declare="passive", delivery_limit=7,
        max_priority=3, delay_unit="50ms", delay_levels=20, consumer_timeout="2h", prefetch=9,
        single_active_consumer=True, heartbeat="5s",
    )  # fmt: skip
    assert RabbitMQDriver.from_url(BrokerUrl.parse(url)).options == driver.options == RabbitMQDriver(url).options


def test_claims_say_what_the_options_make_true():
    quorum = RabbitMQDriver("amqp://h").capabilities
    assert (quorum.priorities, quorum.durability) == (1, "host-fsync")
    classic = RabbitMQDriver("amqp://h?queue_type=classic&max_priority=9&consumer_timeout=2h").capabilities
    assert (classic.priorities, classic.durability) == (10, "host-lazy")
    assert classic.max_run.total_seconds() == 7200


async def test_a_driver_belongs_to_the_loop_that_opened_it(driver):
    async def use():
        await driver.receive("q", limit=1, wait=NOW)

    with pytest.raises(ConfigurationError, match="another"):
        await asyncio.to_thread(asyncio.run, use())


async def test_closing_ends_in_time_although_the_server_stands_still(shared, connect, message):
    driver = await connect()
    await driver.enqueue(message())
    [held] = await take(driver)
    shared.pause()
    try:
        begun = time.monotonic()
        await driver.close()
        assert time.monotonic() - begun < 20
    finally:
        shared.resume()
    with pytest.raises(DriverClosedError):
        await driver.ack(held)


async def test_a_driver_may_be_opened_again(driver, message):
    await driver.enqueue(message("a"))
    [held] = await take(driver)
    await driver.close()
    await driver.open()
    [got] = await take(driver)
    assert (got.message.id, got.attempt) == ("a", 2)
    with pytest.raises(Exception, match="no longer"):
        await driver.ack(held)


async def test_what_pika_logs_of_lost_connections_is_for_those_who_ask(shared, driver, message, caplog):
    shared.cut()
    await again(driver.enqueue, message())
    assert not [record for record in caplog.records if record.name.startswith("pika")]
    assert logging.getLogger("pika").level == logging.CRITICAL


# -- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, another one, and a server's certificate of the first for the name `jobs.test`."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt",
                "-days", "2", "-subj", f"/CN={name}")  # fmt: skip
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", f"/CN={name}")  # fmt: skip
        (folder / "names").write_text("subjectAltName=DNS:jobs.test")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                f"{name}.crt", "-days", "2", "-extfile", "names")  # fmt: skip
        (folder / f"{name}.key").chmod(0o644)
    return folder


@dataclass(frozen=True)
class Encrypted(Tuned):
    """With TLS on a second port, for clients that show a certificate of our authority."""

    folder: str = ""
    tls: int = 0

    def commands(self, site):
        made = super().commands(site)
        with (site.folder / "rabbitmq.conf").open("a") as file:
            file.write(
                f"listeners.ssl.1 = 127.0.0.1:{self.tls}\n"
                f"ssl_options.cacertfile = {self.folder}/ca.crt\nssl_options.certfile = {self.folder}/server.crt\n"
                f"ssl_options.keyfile = {self.folder}/server.key\n"
                "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
            )
        return made


@pytest.fixture(scope="module")
def encrypted(certificates):
    with broker_or_skip(Encrypted(folder=str(certificates), tls=free_port()), how="process") as broker:
        yield f"amqps://guest:guest@127.0.0.1:{broker.kind.tls}/"


def trusting(certificates, **others):
    files = {"tls_ca": "ca.crt", "tls_cert": "client.crt", "tls_key": "client.key", **others}
    return {"tls_server_name": "jobs.test", **{name: str(certificates / file) for name, file in files.items()}}


async def test_the_right_certificates_open_an_encrypted_connection(encrypted, certificates, connect, message):
    driver = await connect(encrypted, **trusting(certificates))
    await driver.enqueue(message("a"))
    assert ids(await take(driver)) == ["a"]


async def test_a_certificate_of_another_authority_is_refused(encrypted, certificates):
    error = await refused(encrypted, **trusting(certificates, tls_ca="other.crt"))
    assert isinstance(error, ConfigurationError)
    assert "TLS" in str(error)


async def test_a_certificate_for_another_name_is_refused(encrypted, certificates):
    error = await refused(encrypted, **{**trusting(certificates), "tls_server_name": "other.test"})
    assert isinstance(error, ConfigurationError)


async def test_tls_on_a_plain_port_is_told_in_time(shared):
    error = await refused(f"amqps://guest:guest@{server_of(shared)}/", tls_verify=False)
    assert isinstance(error, ConfigurationError)


async def test_no_tls_on_a_port_for_tls_is_told_in_time(encrypted):
    plain = encrypted.replace("amqps", "amqp")
    assert isinstance(await refused(plain, timeout="2s"), BrokerUnavailableError)


def test_files_that_are_no_certificates_are_refused(tmp_path):
    (tmp_path / "ca.crt").write_text("nothing")
    with pytest.raises(ConfigurationError, match="tls_ca"):
        RabbitMQDriver("amqps://host/", tls_ca=str(tmp_path / "ca.crt"))


def test_a_verification_that_is_off_is_logged(caplog):
    RabbitMQDriver("amqps://host/", tls_verify=False)
    assert "not verified" in caplog.text

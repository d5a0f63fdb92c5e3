"""Encrypted connections: certificates are verified, and nobody is told a password in the clear."""

import asyncio
import logging
import subprocess

import pytest

from waybill.errors import ConfigurationError
from waybill_nats import NatsDriver

from .conftest import Process

CONFIG = """
jetstream {{{{ store_dir: {{folder}}/js }}}}
tls {{{{ cert_file: {folder}/server.pem, key_file: {folder}/server.key }}}}
authorization {{{{ user: u, password: p }}}}
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [*("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=broker"),
         *("-addext", "subjectAltName=DNS:broker"), *("-keyout", "server.key", "-out", "server.pem")],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def secure(program, certificates):
    process = Process(program, config=CONFIG.format(folder=certificates))
    yield process
    process.stop()


async def test_a_server_with_a_trusted_certificate_and_its_name_is_used(secure, certificates):
    url = f"tls+nats://u:p@127.0.0.1:{secure.port}?tls_ca={certificates}/server.pem&tls_server_name=broker"
    driver = NatsDriver(url)
    await driver.open()
    assert (await driver.stats("q")).ready == 0
    await driver.close()


async def test_a_server_of_another_name_or_authority_is_refused(secure, certificates):
    for query in (f"?tls_ca={certificates}/server.pem", "?tls_server_name=broker"):
        driver = NatsDriver(f"tls+nats://u:p@127.0.0.1:{secure.port}{query}", timeout="3s")
        with pytest.raises(ConfigurationError, match="TLS handshake failed"):
            await driver.open()
        await driver.close()


async def test_not_to_verify_is_possible_and_told_each_time(secure, caplog):
    driver = NatsDriver(f"tls+nats://u:p@127.0.0.1:{secure.port}?tls_verify=false")
    await driver.open()
    await driver.close()
    assert [each.levelno for each in caplog.records if "not verified" in each.message] == [logging.WARNING]


async def test_a_server_without_encryption_is_refused_before_it_is_told_the_password():
    heard = bytearray()

    async def listen(reader, writer):
        writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"auth_required":true}\r\n')
        while chunk := await reader.read(1000):
            heard.extend(chunk)
        writer.close()

    listener = await asyncio.start_server(listen, "127.0.0.1", 0)
    driver = NatsDriver(f"tls+nats://u:S3CRET@127.0.0.1:{listener.sockets[0].getsockname()[1]}", timeout="2s")
    with pytest.raises(ConfigurationError, match="offers no TLS"):
        await driver.open()
    await driver.close()
    listener.close()
    await listener.wait_closed()
    assert b"S3CRET" not in heard


async def test_a_file_of_certificates_that_cannot_be_used_is_told_before_anything_is_sent(tmp_path):
    driver = NatsDriver(f"tls+nats://127.0.0.1:1?tls_ca={tmp_path}/none.pem")
    with pytest.raises(ConfigurationError, match=r"tls_ca.*Nothing was sent"):
        await driver.open()
    await driver.close()

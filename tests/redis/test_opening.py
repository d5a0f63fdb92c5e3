"""Opening and closing: what cannot work is refused at once, says why, and tells no secret."""

import asyncio
import socket
import subprocess
import tempfile
import threading
import time
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from waybill.driver import BrokerUrl
from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DriverClosedError,
    EnqueueRejectedError,
    WaybillError,
)
from waybill_redis import RedisDriver

from .conftest import NOW, SOON, ids, passed, port_of

SECRET = "s3cret-pass"


@pytest.fixture
async def strict(serve):
    """A server that wants a password and has one more user, who may do nothing but what the README says."""
    return await serve("--requirepass", SECRET, "--user", "jobs", "on", f">{SECRET}", "~waybill:*", "+@all")


def url_of(server, login):
    return f"redis://{login}127.0.0.1:{port_of(server)}/0"


@pytest.mark.parametrize("login", [f":{SECRET}@", f"jobs:{SECRET}@"])
async def test_the_right_password_opens(strict, login, message):
    driver = RedisDriver(url_of(strict, login))
    await driver.open()
    await driver.enqueue(message())
    await driver.close()


@pytest.mark.parametrize("login", ["", f":{SECRET}x@", f"nobody:{SECRET}@", f"jobs:x{SECRET}@"])
async def test_a_wrong_password_is_a_configuration_error_without_it(strict, login):
    driver = RedisDriver(url_of(strict, login))
    with pytest.raises(ConfigurationError) as error:
        await driver.open()
    told = f"{error.value!r} {error.value} {error.value.__cause__!r} {driver!r} {vars(driver)}"
    assert SECRET not in told
    assert "password" in str(error.value)


async def test_a_user_who_may_not_is_told_so(strict, message):
    driver = RedisDriver(url_of(strict, f"jobs:{SECRET}@"), prefix="elsewhere")
    await driver.open()
    with pytest.raises(EnqueueRejectedError, match="ACL"):
        await driver.enqueue(message())
    with pytest.raises(BrokerUnavailableError, match="ACL"):
        await driver.stats("q")
    await driver.close()


async def test_the_smallest_acl_of_the_readme_is_enough(strict, message):
    rules = (
        "~waybill:{* -@all +info +config|get +scan +wait +blpop +eval +evalsha +@hash +@sortedset +rpush +llen +exists "
        "+incr +incrby +strlen +time +select"
    )
    async with Redis(port=port_of(strict), password=SECRET) as admin:
        await admin.execute_command("ACL", "SETUSER", "small", "on", f">{SECRET}", *rules.split())
    driver = RedisDriver(url_of(strict, f"small:{SECRET}@"))
    await driver.open()
    await driver.enqueue(message("a", group="g"))
    waiting = asyncio.create_task(driver.receive("p", limit=1, wait=timedelta(milliseconds=50)))
    (delivery,) = await driver.receive("q", limit=1, wait=SOON)
    await driver.nack(delivery)
    assert await waiting == []
    assert await driver.queues() == ["q"]
    assert await driver.state_put("k", b"", expect=None)
    await driver.purge("q")
    await driver.diagnose()
    await driver.close()


async def test_nobody_there_is_unavailable():
    start = time.monotonic()
    for url in ("redis://127.0.0.1:1/0", "redis:///0?socket=/nowhere/redis.sock"):
        with pytest.raises(BrokerUnavailableError, match="cannot be reached"):
            await RedisDriver(url).open()
    assert time.monotonic() - start < 8  # its deadline is 10 s


async def test_a_server_that_is_no_redis_is_refused_in_time():
    async def mute(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(BrokerUnavailableError):
        await RedisDriver(f"redis://127.0.0.1:{port}", timeout="200ms").open()
    server.close()
    await server.wait_closed()


async def test_tls_to_a_server_without_it_is_a_typed_error(shared):
    with pytest.raises(WaybillError):
        await RedisDriver(f"rediss://127.0.0.1:{port_of(shared)}/0", timeout="2s").open()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_an_eviction_policy_that_loses_jobs_is_refused_unless_accepted(serve, policy):
    server = await serve("--maxmemory", "200mb", "--maxmemory-policy", policy)
    with pytest.raises(ConfigurationError, match=policy):
        await RedisDriver(server.direct_url).open()
    driver = RedisDriver(server.direct_url, allow_eviction=True)
    await driver.open()
    assert any(note.level == "error" for note in await driver.diagnose())
    await driver.close()


@pytest.mark.parametrize(
    ("options", "durability"),
    [
        (("--appendonly", "no"), "process"),
        (("--appendonly", "yes", "--appendfsync", "always"), "host-fsync"),
        (("--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "yes"), "host-lazy"),
        (("--appendonly", "yes", "--appendfsync", "no"), "host-lazy"),
        (("--appendonly", "yes", "--appendfsync", "everysec"), "process"),  # it may answer before it has written
    ],
)
async def test_durability_is_what_the_server_keeps(serve, options, durability):
    driver = RedisDriver((await serve(*options)).direct_url)
    await driver.open()
    assert driver.capabilities.durability == durability
    await driver.close()


async def test_wait_fsync_is_kept_or_refused_whatever_the_server_is_set_to(serve, prefix, message):
    server = await serve(fsync="everysec")
    driver = RedisDriver(server.direct_url, prefix=prefix, wait_fsync=True)
    async with Redis.from_url(server.direct_url) as client:
        version = (await client.info("server"))["redis_version"]
    if tuple(map(int, version.split(".")[:2])) < (7, 2):
        with pytest.raises(ConfigurationError, match=r"Redis 7\.2 or newer"):
            await driver.open()
        return
    await driver.open()
    assert driver.capabilities.durability == "host-fsync"
    assert any("wait_fsync" in note.fact for note in await driver.diagnose())
    sent = await asyncio.gather(*(driver.enqueue(message(f"j{number}")) for number in range(200)))
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.revive)
    again = RedisDriver(server.direct_url, prefix=prefix)
    await again.open()
    assert sorted(ids(await again.receive("q", limit=1000, wait=NOW))) == sorted(sent)
    await driver.close()
    await again.close()


async def test_a_unix_socket_is_used(serve, message):
    with tempfile.TemporaryDirectory() as folder:
        await serve("--unixsocket", f"{folder}/redis.sock")
        driver = RedisDriver(f"redis:///0?socket={folder}/redis.sock")
        await driver.open()
        await driver.enqueue(message())
        await driver.close()


@pytest.mark.parametrize(
    "name", ["jobs", "ready", "delayed", "leased", "info", "heads", "behind", "unique", "seq", "wake"]
)
async def test_a_key_of_another_type_is_told_and_nothing_is_stored(driver, redis, prefix, message, name):
    key = f"{prefix}:{{q}}:{name}"
    await redis.pfadd(key, "x") if name != "seq" else await redis.set(key, "x")
    for due in (NOW, timedelta(hours=1)):
        with pytest.raises(EnqueueRejectedError, match="another type") as error:
            await driver.enqueue_in(message("a", group="g"), due)
        assert "Nothing was stored" in str(error.value)
    if name != "seq":
        with pytest.raises(BrokerUnavailableError, match="another type"):
            await driver.receive("q", limit=1, wait=SOON)
    await redis.delete(key)
    await driver.enqueue(message("a"))
    assert ids(await driver.receive("q", limit=1, wait=NOW)) == ["a"]


async def test_close_ends_pending_calls_and_refuses_later_ones(connect, message):
    driver = await connect()
    waiting = [asyncio.create_task(driver.receive(queue, limit=1, wait=SOON)) for queue in "qqp"]
    await passed(0.05)
    await driver.close()
    for each in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(each, DriverClosedError)
    for call in (driver.enqueue(message()), driver.receive("q", limit=1, wait=NOW), driver.stats("q")):
        with pytest.raises(DriverClosedError):
            await call
    await driver.close()


async def test_close_flushes_what_was_under_way(connect, redis, message):
    driver = await connect()
    await driver.enqueue(message("a"))
    (delivery,) = await driver.receive("q", limit=1, wait=NOW)
    acking = asyncio.create_task(driver.ack(delivery))
    sending = asyncio.create_task(driver.enqueue(message("b")))
    await asyncio.sleep(0)
    await driver.close()
    await asyncio.gather(acking, sending)
    await driver.open()
    assert (await driver.stats("q")).ready == 1
    assert (await driver.stats("q")).leased == 0


async def test_an_unopened_driver_is_closed_and_an_opened_again_one_works(connect, message):
    with pytest.raises(DriverClosedError):
        await RedisDriver("redis://127.0.0.1").enqueue(message())
    driver = await connect()
    await driver.open()
    await driver.close()
    await driver.open()
    assert await driver.enqueue(message("a")) == "a"


async def test_it_belongs_to_the_loop_that_opened_it(driver, message):
    failures = []

    def elsewhere():
        try:
            asyncio.run(driver.enqueue(message()))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert isinstance(failures[0], ConfigurationError)


@pytest.mark.parametrize(
    "query",
    [
        "lease=0s",
        "timeout=5",
        "look=0s",
        "prefix=a*b",
        "prefix={q}",
        "wait_replicas=-1",
        "nonsense=1",
        "tls_cert=x",
        "lease=x",
    ],
)
def test_a_bad_option_is_refused(query):
    with pytest.raises(ConfigurationError):
        RedisDriver.from_url(BrokerUrl.parse(f"redis://h/0?{query}"))


def test_an_option_of_the_url_beats_the_keyword_and_leaves_the_others():
    options = RedisDriver("redis://h/0?prefix=shop", prefix="other", lease="5s").options
    assert (options.prefix, options.lease) == ("shop", timedelta(seconds=5))


@pytest.mark.parametrize("url", ["redis://h/x", "redis://a,b/0", "redis://h/0?socket=/x"])
def test_a_url_that_names_no_one_server_is_refused(url):
    with pytest.raises(ConfigurationError):
        RedisDriver(url)


async def test_a_server_that_is_too_old_is_refused():
    async def old(reader, writer):
        facts = b"redis_version:5.0.14\r\nrole:master\r\n"
        while command := await reader.read(1000):
            writer.write(b"-ERR no\r\n" if b"CONFIG" in command else b"$%d\r\n%b\r\n" % (len(facts), facts))
        writer.close()

    server = await asyncio.start_server(old, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ConfigurationError, match="too old"):
        await RedisDriver(f"redis://127.0.0.1:{port}").open()
    server.close()
    await server.wait_closed()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """An authority, another one, and a server's certificate of the first for the name `jobs.test`."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt",
                "-days", "2", "-subj", f"/CN={name}")  # fmt: skip
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=jobs.test"
    )
    (folder / "names").write_text("subjectAltName=DNS:jobs.test")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            "server.crt", "-days", "2", "-extfile", "names")  # fmt: skip
    return folder


@pytest.fixture
async def encrypted(serve, certificates):
    """A server that speaks TLS beside its plain port, and the URL for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = ("--tls-cert-file", f"{certificates}/server.crt", "--tls-key-file", f"{certificates}/server.key")
    await serve(
        "--tls-port", str(port), *own, "--tls-ca-cert-file", f"{certificates}/ca.crt", "--tls-auth-clients", "no"
    )
    return f"rediss://127.0.0.1:{port}/0"


async def test_tls_verifies_the_server_by_authority_and_name(encrypted, certificates, message):
    driver = RedisDriver(encrypted, tls_ca=f"{certificates}/ca.crt", tls_server_name="jobs.test")
    await driver.open()
    await driver.enqueue(message("a"))
    assert ids(await driver.receive("q", limit=1, wait=SOON)) == ["a"]
    await driver.close()


@pytest.mark.parametrize(
    "options",
    [{"tls_ca": "other.crt", "tls_server_name": "jobs.test"}, {"tls_ca": "ca.crt"}, {}, {"tls_ca": "missing.crt"}],
    ids=["another authority", "another name", "no authority", "no file"],
)
async def test_tls_that_cannot_be_verified_is_refused(encrypted, certificates, options):
    if "tls_ca" in options:
        options = options | {"tls_ca": f"{certificates}/{options['tls_ca']}"}
    with pytest.raises(ConfigurationError):
        await RedisDriver(encrypted, **options).open()


async def test_tls_without_verification_is_logged(encrypted, caplog):
    driver = RedisDriver(encrypted, tls_verify=False)
    await driver.open()
    await driver.close()
    assert "not verified" in caplog.text

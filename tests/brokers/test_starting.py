"""Where a broker comes from, and what is said when it comes from nowhere."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import ClassVar

import pytest

from waybill_conformance.brokers import (
    KINDS,
    BrokerMissingError,
    BrokerStartError,
    PowerMissingError,
    broker_or_skip,
    start,
)
from waybill_conformance.brokers.ports import free_port

EXITS_AT_ONCE = "import sys; print('the disk is on fire'); sys.exit(3)"
NEVER_ANSWERS = "import time; print('thinking', flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def no_urls(monkeypatch):
    for kind in KINDS.values():
        monkeypatch.delenv(f"WAYBILL_{kind.name.upper()}_URL", raising=False)
        monkeypatch.delenv(f"WAYBILL_{kind.name.upper()}_IMAGE", raising=False)
    monkeypatch.delenv("WAYBILL_NOTEBOOK_URL", raising=False)
    monkeypatch.delenv("WAYBILL_BROKERS", raising=False)


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """Where the servers' folders are made."""
    home = tmp_path / "folders"
    home.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(home))
    return home


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine with no program on its PATH, no Docker engine, and no root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setattr("waybill_conformance.brokers.kind.SERVER_FOLDERS", ())
    monkeypatch.setattr("waybill_conformance.brokers.rabbitmq.NODE_FOLDER", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)


def write(broker, *lines):
    with socket.create_connection(broker.proxy.address, timeout=5) as client, client.makefile("rw") as file:
        for line in lines:
            file.write(line + "\n")
            file.flush()
            assert file.readline() == "noted\n"


def read(broker):
    with socket.create_connection(broker.proxy.address, timeout=5) as client, client.makefile("rw") as file:
        file.write("?\n")
        file.flush()
        lines = []
        while (line := file.readline()) != ".\n":
            if not line:
                raise ConnectionAbortedError("the server said goodbye")
            lines.append(line)
        return lines


def test_a_kind_of_ones_own_is_started_with_all_powers(notebook, folders):
    with start(notebook()) as broker:
        assert (broker.name, broker.how) == ("notebook", "process")
        assert broker.url == "notebook://{}:{}".format(*broker.proxy.address)
        assert broker.direct_url == "notebook://{}:{}".format(*broker.proxy.upstream)
        write(broker, "a", "b")
        broker.restart()
        broker.pause()
        broker.resume()
        broker.cut()
        assert read(broker) == ["a\n", "b\n"]
        assert len(os.listdir(folders)) == 1
    assert os.listdir(folders) == []


def test_during_a_restart_connections_are_refused_and_afterwards_served(notebook):
    seen = set()
    over = threading.Event()
    with start(notebook()) as broker:

        def knock():
            while not over.is_set():
                try:
                    read(broker)
                    seen.add("served")
                except ConnectionError as error:
                    seen.add(type(error))

        knocking = threading.Thread(target=knock)
        knocking.start()
        for _ in range(3):
            broker.restart()
            read(broker)
        end = time.monotonic() + 5
        while "served" not in seen:
            assert time.monotonic() < end
            time.sleep(0.01)
        over.set()
        knocking.join()
    assert ConnectionRefusedError in seen


def test_a_url_from_the_environment_comes_first_and_is_never_touched(notebook, monkeypatch):
    with start(notebook()) as own:
        monkeypatch.setenv("WAYBILL_NOTEBOOK_URL", f"{own.direct_url}/path?x=1")
        with start(notebook()) as broker:
            assert broker.how == "url"
            assert broker.direct_url == f"{own.direct_url}/path?x=1"
            assert broker.url == "notebook://{}:{}/path?x=1".format(*broker.proxy.address)
            write(broker, "a")
            broker.cut()
            for power in (broker.restart, broker.pause, broker.resume):
                with pytest.raises(PowerMissingError, match="WAYBILL_NOTEBOOK_URL"):
                    power()
            write(broker, "b")
        assert read(own) == ["a\n", "b\n"]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("redis", "rediss://user:secret@redis.example:6380/0"),
        ("nats", "nats://one.example,two.example"),
        ("rabbitmq", "amqps://rabbit.example/%2F"),
        ("sqs", "sqs://eu-west-1"),
    ],
)
def test_no_proxy_stands_before_tls_several_hosts_or_the_real_service(name, url, monkeypatch):
    monkeypatch.setenv(f"WAYBILL_{name.upper()}_URL", url)
    with start(name) as broker:
        assert broker.url == broker.direct_url == url
        with pytest.raises(PowerMissingError, match="nothing was done") as refusal:
            broker.cut()
        assert "secret" not in f"{refusal.value} {broker!r}"


@pytest.mark.parametrize(
    ("name", "url", "address", "moved"),
    [
        ("redis", "redis://u:p@h/3", ("h", 6379), "redis://u:p@1.2.3.4:5/3"),
        ("nats", "nats://token@h:1", ("h", 1), "nats://token@1.2.3.4:5"),
        ("rabbitmq", "amqp://guest:g%40@[::1]:9/%2F?x=y", ("::1", 9), "amqp://guest:g%40@1.2.3.4:5/%2F?x=y"),
        (
            "sqs",
            "sqs://eu-west-1?endpoint_url=http%3A%2F%2Fh%3A9&x=1",
            ("h", 9),
            "sqs://eu-west-1?endpoint_url=http://1.2.3.4:5&x=1",
        ),
    ],
)
def test_a_url_keeps_everything_but_its_address(name, url, address, moved):
    kind = KINDS[name]()
    assert kind.address(url) == address
    assert kind.moved(url, "1.2.3.4", 5) == moved


def test_a_url_where_nobody_listens_is_an_error_and_not_a_reason_to_look_elsewhere(notebook, monkeypatch):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WAYBILL_NOTEBOOK_URL", f"notebook://127.0.0.1:{unheard.getsockname()[1]}")
        with pytest.raises(BrokerStartError, match="WAYBILL_NOTEBOOK_URL"):
            start(notebook())


@pytest.mark.parametrize("name", ["redis", "nats", "rabbitmq"])
def test_a_missing_broker_is_told_with_everything_that_was_tried_and_how_to_get_it(name, bare):
    with pytest.raises(BrokerMissingError) as missing:
        start(name)
    text = str(missing.value)
    assert f"WAYBILL_{name.upper()}_URL is not set" in text
    assert "ocker" in text
    assert f"no program {name}-server" in text
    assert "apt-get" in text or "only root" in text
    assert f"install {name}-server" in missing.value.cure
    assert len(missing.value.tried) == 4


def test_a_missing_emulator_names_the_extra_to_install(bare, monkeypatch):
    monkeypatch.setattr("waybill_conformance.brokers.kind.module_exists", lambda name: False)
    with pytest.raises(BrokerMissingError, match=r"waybill-conformance\[sqs\]"):
        start("sqs")


def test_a_server_of_pypi_that_cannot_be_installed_is_told_in_pips_own_words(bare, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", tmp_path.as_uri())
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(BrokerMissingError, match="environment of its own") as missing:
        start("ministack")
    assert "pip install ministack==" in missing.value.tried[-1]
    assert "No matching distribution" in missing.value.tried[-1]


def test_a_gentle_broker_is_asked_to_end_before_it_is_killed(notebook, tmp_path):
    plain = notebook()
    gentle = type("Gentle", (type(plain),), {"gentle": True})
    told = tmp_path / "told"
    ask = f"""
import signal
def end(*_):
    open({str(told)!r}, "a").write("asked ")
    raise SystemExit
signal.signal(signal.SIGTERM, end)
"""
    with start(gentle(script=ask + plain.script)) as broker:
        broker.restart()
        assert told.read_text() == "asked "
        broker.pause()
        broker.restart()
        assert told.read_text() == "asked asked "
    assert told.read_text() == "asked asked "


def test_one_way_alone_can_be_asked_for(notebook):
    with pytest.raises(BrokerMissingError) as missing:
        start(notebook(), how="container")
    assert missing.value.tried == ("there is no image for it",)
    with pytest.raises(ValueError, match='is "url", "container" or "process"'):
        start(notebook(), how="magic")


def test_the_environment_may_allow_one_way_alone(notebook, monkeypatch):
    monkeypatch.setenv("WAYBILL_BROKERS", "container")
    with pytest.raises(BrokerMissingError) as missing:
        start(notebook())
    assert missing.value.tried == ("there is no image for it",)


def test_the_environment_may_name_the_image_of_a_container(bare, monkeypatch):
    monkeypatch.setenv("WAYBILL_REDIS_IMAGE", "redis:eight")
    with pytest.raises(BrokerMissingError, match="redis:eight"):
        start("redis")


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="redis"):
        start("kafka")


def test_a_broker_goes_by_its_scheme_too():
    assert KINDS["amqp"] is KINDS["rabbitmq"]


def test_an_unknown_setting_is_refused_before_anything_is_started(notebook):
    with pytest.raises(TypeError, match="no setting speed: it has image, fsync"):
        start("redis", speed="high")
    with pytest.raises(TypeError, match="given to itself"):
        start(notebook(), image="x")


def test_a_server_that_ends_by_itself_is_tried_three_times_and_its_log_is_told(notebook, folders):
    began = time.monotonic()
    with pytest.raises(BrokerStartError, match="the disk is on fire") as failure:
        start(notebook(script=EXITS_AT_ONCE))
    assert failure.value.died
    assert time.monotonic() - began < notebook.patience
    assert os.listdir(folders) == []


def test_a_server_that_never_answers_is_ended_and_its_log_is_told(notebook, folders, monkeypatch):
    monkeypatch.setattr(notebook, "patience", 0.5)
    with pytest.raises(BrokerStartError, match=r"(?s)within 0\.5 s.*thinking"):
        start(notebook(script=NEVER_ANSWERS))
    assert os.listdir(folders) == []


def test_test_runners_that_seed_chance_alike_are_given_different_ports():
    def ports():
        random.seed(1)
        return [free_port() for _ in range(5)]

    assert ports() != ports()


def test_a_server_whose_port_was_stolen_is_started_on_another(notebook, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as thief:
        from waybill_conformance.brokers import process

        ports = iter([thief.getsockname()[1]])
        real = process.free_port
        monkeypatch.setattr(process, "free_port", lambda: next(ports, None) or real())
        monkeypatch.setattr(notebook, "ready", patiently(notebook.ready, thief.getsockname()[1]))
        with start(notebook()) as broker:
            write(broker, "a")


def patiently(ready, stolen):
    return lambda self, host, port: False if port == stolen else ready(self, host, port)


def test_a_program_that_cannot_be_run_is_told_by_name(notebook, folders):
    @dataclass(frozen=True)
    class Broken(notebook):
        name: ClassVar = "broken"

        def find(self):
            return "/nowhere/at/all"

    with pytest.raises(BrokerStartError, match="/nowhere/at/all"):
        start(Broken())
    assert os.listdir(folders) == []


def test_a_server_that_dies_during_a_test_can_be_restarted(notebook):
    with start(notebook()) as broker:
        write(broker, "a")
        with socket.create_connection(broker.proxy.address, timeout=5) as client:
            client.sendall(b"!\n")
            assert client.recv(1) == b""
        assert "asked to end" in broker.log()
        broker.restart()
        assert read(broker) == ["a\n"]


def test_a_killed_test_process_leaves_no_server_and_no_folder(notebook, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        "import dataclasses, os, signal, sys\n"
        "sys.path.insert(0, os.environ['HERE'])\n"
        "from conftest import Notebook\n"
        "from waybill_conformance.brokers import start\n"
        "broker = start(Notebook())\n"
        "print(*broker.proxy.upstream, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    folders = tmp_path / "folders"
    folders.mkdir()
    env = {
        **os.environ,
        "HERE": os.path.dirname(__file__),
        "TMPDIR": str(folders),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True)
    host, port = done.stdout.split()
    end = time.monotonic() + 5
    while os.listdir(folders) or listens(host, int(port)):
        assert time.monotonic() < end, (os.listdir(folders), done.stderr)
        time.sleep(0.02)


def listens(host, port):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def test_a_forgotten_broker_is_stopped_at_exit(tmp_path):
    folders = tmp_path / "folders"
    folders.mkdir()
    env = {**os.environ, "TMPDIR": str(folders), "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    script = "from conftest import Notebook; from waybill_conformance.brokers import start; start(Notebook())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(folders) == []


def test_a_fork_that_exits_does_not_stop_the_broker(notebook, monkeypatch):
    with start(notebook()) as broker:
        with monkeypatch.context() as forked:
            forked.setattr("os.getpid", lambda: 1)
            broker.stop()
        write(broker, "a")


def test_no_client_library_is_imported_before_it_is_needed():
    script = (
        "import sys, waybill_conformance.brokers\n"
        "print([name for name in ('redis', 'pika', 'nats', 'boto3', 'moto', 'docker', 'testcontainers') if name in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True).stdout == "[]\n"


def test_a_test_without_its_broker_is_skipped_in_one_loud_line(bare, monkeypatch):
    monkeypatch.delenv("WAYBILL_REQUIRE_BROKERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NO BROKER, NOT TESTED") as skip:
        broker_or_skip("redis")
    assert "\n" not in str(skip.value)


def test_a_test_without_its_broker_fails_where_brokers_are_required(bare, monkeypatch):
    monkeypatch.setenv("WAYBILL_REQUIRE_BROKERS", "1")
    with pytest.raises(pytest.fail.Exception, match="There is no redis"):
        broker_or_skip("redis")

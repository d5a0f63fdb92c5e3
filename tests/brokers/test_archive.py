"""Servers of other releases of the distribution, with an apt-get and a dpkg-deb that only do as if."""

import os

import pytest

from waybill_conformance.brokers import archive, start

APT = """#!/bin/sh
echo "$@" >> '{told}'
case "$*" in
*indextargets*) echo 'Other http://elsewhere/'; echo 'Debian http://mirror/debian/' ;;
*update*) cat "$(echo "$*" | sed 's/.*SourceList=\\([^ ]*\\).*/\\1/')" >> '{told}'; {update} ;;
*download*) touch server.deb ;;
esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/sbin" && printf '#!/bin/sh\\n' > "$3/usr/sbin/server" && chmod +x "$3/usr/sbin/server"
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Puts an apt-get on PATH; returns what it was told and read."""
    told = tmp_path / "told"
    (tmp_path / "bin").mkdir()
    (tmp_path / "sources.list.d").mkdir()
    monkeypatch.setattr(archive, "SOURCES", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def make(update="true"):
        for name, text in (("apt-get", APT.format(told=told, update=update)), ("dpkg-deb", DPKG)):
            program = tmp_path / "bin" / name
            program.write_text(text)
            program.chmod(0o755)
        return lambda: told.read_text()

    return make


def test_a_program_of_another_release_is_fetched_once_from_the_machines_own_mirror(apt, tmp_path):
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm\nSigned-By: /keys/debian.gpg\n"
    )
    told = apt()
    for _ in range(2):
        program = archive.program_of("server-package", "sid", "server")
        assert program is not None
        assert program.startswith(str(tmp_path / "cache"))
    assert told().count("download server-package") == 1
    assert "deb [signed-by=/keys/debian.gpg] http://mirror/debian/ sid main\n" in told()


def test_a_mirror_that_every_keyring_may_sign_is_named_without_one(apt):
    told = apt()
    archive.program_of("server-package", "sid", "server")
    assert "deb http://mirror/debian/ sid main\n" in told()


def test_what_cannot_be_fetched_is_missing_and_is_tried_again(apt):
    apt(update="exit 100")
    assert archive.program_of("server-package", "sid", "server") is None
    apt()
    assert archive.program_of("server-package", "sid", "server") is not None


def test_the_machines_own_packages_are_left_alone(apt):
    told = apt()
    archive.program_of("server-package", "sid", "server")
    lines = [line for line in told().splitlines() if "update" in line or "download" in line]
    assert lines
    assert all("Dir::State::Lists=" in line and "Dir::State::status=" in line for line in lines)


@pytest.mark.broker
def test_a_nats_server_of_the_newest_release_starts():
    if archive.program_of("nats-server", "sid", "nats-server") is None:
        pytest.skip("NO BROKER, NOT TESTED: apt cannot fetch nats-server of sid here")
    with start("nats", suite="sid") as broker:
        assert broker.how == "process"

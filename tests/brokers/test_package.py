"""Servers from the distribution's packages, with an apt-get that only writes down what it is told."""

import os
import stat

import pytest

from waybill_conformance.brokers import package

APT = """#!/bin/sh
echo "$@ RUNLEVEL=$RUNLEVEL policy=$(cat '{policy}' 2>/dev/null | tail -n 1)" >> '{told}'
{answer}
"""


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """Stands for the system's policy of starting services."""
    (tmp_path / "sbin").mkdir()
    monkeypatch.setattr(package, "POLICY", tmp_path / "sbin" / "policy-rc.d")
    return package.POLICY


@pytest.fixture
def apt(tmp_path, monkeypatch, policy):
    """Makes apt-get answer with a piece of shell; returns what it was told."""
    told = tmp_path / "told"

    def answer(shell):
        program = tmp_path / "apt-get"
        program.write_text(APT.format(policy=policy, told=told, answer=shell))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return lambda: told.read_text().splitlines()

    return answer


def test_no_service_is_started_by_a_package(apt, policy):
    told = apt("exit 0")
    assert package.install("redis-server") is None
    (line,) = told()
    assert "install -y --no-install-recommends redis-server RUNLEVEL=1 policy=exit 101" in line
    assert not policy.exists()


def test_a_policy_of_the_system_stays(apt, policy):
    policy.write_text("#!/bin/sh\nexit 0\n")
    told = apt("exit 0")
    assert package.install("redis-server") is None
    assert "policy=exit 0" in told()[0]
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_policy_that_was_put_there_can_be_run(apt, policy):
    with package.no_services():
        assert policy.stat().st_mode & stat.S_IXUSR
    assert not policy.exists()


def test_missing_lists_are_fetched_and_the_package_is_tried_again(apt):
    told = apt('case "$*" in *update*) touch "$0.lists";; *) test -e "$0.lists" || exit 100;; esac')
    assert package.install("redis-server") is None
    assert [next(word for word in ("install", "update") if word in line) for line in told()] == [
        "install",
        "update",
        "install",
    ]


def test_another_installation_is_waited_for(apt, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    told = apt('test -e "$0.free" || { touch "$0.free"; echo "E: Could not get lock /var/lib/dpkg/lock"; exit 100; }')
    assert package.install("redis-server") is None
    assert len(told()) == 2


def test_a_failure_is_told_in_apts_own_words(apt, policy):
    apt('echo "E: Unable to locate package redis-server"; exit 100')
    assert package.install("redis-server") == "E: Unable to locate package redis-server"
    assert not policy.exists()


def test_only_root_on_a_system_with_apt_installs_packages(monkeypatch, tmp_path, apt):
    apt("exit 0")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert package.installable() == "only root can install a package"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert package.installable() is None
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert package.installable() == "this system has no apt-get"

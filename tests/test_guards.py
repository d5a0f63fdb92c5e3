"""The guards of conftest.py are alive: each planted fault fails its test, and a clean one passes."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKING = """
import waybill
library = {"sleep": time.sleep}  # a function that sits, for all one can see, in a file of the library
exec(compile("def block(): sleep(0)", waybill.__path__[0] + "/planted.py", "exec"), library)
library["block"]()
"""
FAULTS = {
    "a warning": ("import warnings; warnings.warn('planted')", "UserWarning: planted"),
    "a blocked loop": (BLOCKING, "Blocking call to time.sleep"),
    "a task": ("global task; task = asyncio.create_task(asyncio.sleep(60))", "tasks are left behind"),
    "a thread": ("threading.Thread(target=time.sleep, args=(3,), name='planted').start()", "['planted']"),
    "a socket": ("socket.socket()", "ResourceWarning: unclosed <socket"),
    "a lost error": ("task = asyncio.ensure_future(fail()); await asyncio.sleep(0)", "never retrieved"),
}


def run(tmp_path, body, marker=""):
    source = "import asyncio, pytest, socket, threading, time\nasync def fail():\n    raise ValueError\n"
    source += f"{marker}\nasync def test_planted():\n" + textwrap.indent(body, "    ")
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_planted.py").write_text(source)
    for name in ("conftest.py", "standstill.py"):
        guard = (ROOT / "tests" / name).read_text().replace("Path(__file__).parents[1]", f"Path({str(ROOT)!r})")
        (tests / name).write_text(guard)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}"]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)], capture_output=True, text=True, timeout=50
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails(tmp_path, fault):
    body, message = FAULTS[fault]
    result = run(tmp_path, body)
    assert result.returncode == 1, result.stdout + result.stderr
    assert message in result.stdout


def test_a_clean_test_passes(tmp_path):
    body = "await asyncio.gather(asyncio.sleep(0), asyncio.to_thread(time.sleep, 0))"
    result = run(tmp_path, body)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_test_may_say_that_it_blocks(tmp_path):
    result = run(tmp_path, BLOCKING, "@pytest.mark.blocks_the_loop")
    assert result.returncode == 0, result.stdout + result.stderr


STANDS_STILL = """
import os, subprocess
from pathlib import Path
runs = Path(__file__).with_name("runs")
runs.write_text(runs.read_text() + "." if runs.exists() else ".")
subprocess.Popen(["/bin/sh", "-c", 'kill -STOP "$1"; sleep 0.4; kill -CONT "$1"', "x", str(os.getpid())]).wait()
assert len(runs.read_text()) == {passes}, "planted"
"""


def test_a_test_that_failed_while_the_machine_stood_still_runs_once_more_and_that_is_told(tmp_path):
    result = run(tmp_path, STANDS_STILL.format(passes=2))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "RAN TWICE: tests/test_planted.py::test_planted: the machine stood still for 0." in result.stdout
    assert "planted" in result.stdout.partition("RAN TWICE")[2]


def test_it_does_not_run_until_it_passes(tmp_path):
    result = run(tmp_path, STANDS_STILL.format(passes=3))
    assert result.returncode == 1, result.stdout + result.stderr


def test_a_test_that_fails_while_the_machine_keeps_time_runs_once(tmp_path):
    result = run(tmp_path, STANDS_STILL.replace("sleep 0.4; ", "").format(passes=2))
    assert result.returncode == 1, result.stdout + result.stderr
    assert (tmp_path / "tests/runs").read_text() == "."

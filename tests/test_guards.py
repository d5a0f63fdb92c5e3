"""The guards of conftest.py and rerun.py are alive: each planted fault fails its test, and a clean one passes."""

import os
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


def run(tmp_path, body, marker="", reruns=0, stands_still=False):
    source = "import asyncio, pytest, socket, threading, time\nasync def fail():\n    raise ValueError\n"
    source += f"{marker}\nasync def test_planted():\n" + textwrap.indent(body, "    ")
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_planted.py").write_text(source)
    for name in ("conftest.py", "rerun.py"):
        guard = (ROOT / "tests" / name).read_text().replace("Path(__file__).parents[1]", f"Path({str(ROOT)!r})")
        if not stands_still:  # this machine may all the same, and must not excuse what is planted
            guard = guard.replace(">= IRREGULAR", '>= float("inf")')
        (tests / name).write_text(guard)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}"]
    environment = os.environ | {"WAYBILL_RERUNS": str(reruns)}
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)], env=environment, capture_output=True, text=True, timeout=50
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


PASSES_LATER = """
import os, subprocess
from pathlib import Path
runs = Path(__file__).with_name("runs")
runs.write_text(runs.read_text() + "." if runs.exists() else ".")
assert len(runs.read_text()) == {passes}, "planted"
"""
STANDS_STILL = PASSES_LATER.replace(
    "assert",
    """subprocess.Popen(["/bin/sh", "-c", 'kill -STOP "$1"; sleep 0.4; kill -CONT "$1"', "x", str(os.getpid())]).wait()
assert""",
)


def test_a_test_that_failed_while_the_machine_stood_still_runs_once_more_and_that_is_told(tmp_path):
    result = run(tmp_path, STANDS_STILL.format(passes=2), stands_still=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "the machine stood still for 0." in result.stdout.partition("RAN TWICE: tests/test_planted.py::")[2]
    assert "AssertionError: planted" in result.stdout.partition("RAN TWICE")[2]


def test_it_does_not_run_until_it_passes(tmp_path):
    result = run(tmp_path, STANDS_STILL.format(passes=3), stands_still=True)
    assert result.returncode == 1, result.stdout + result.stderr


def test_a_test_that_fails_while_the_machine_keeps_time_runs_once(tmp_path):
    result = run(tmp_path, PASSES_LATER.format(passes=2))
    assert result.returncode == 1, result.stdout + result.stderr
    assert (tmp_path / "tests/runs").read_text() == "."


def test_ci_lets_a_few_run_once_more_and_tells_all_that_the_first_run_said(tmp_path):
    result = run(tmp_path, PASSES_LATER.format(passes=2), reruns=1)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "a reason yet to be found" in result.stdout.partition("RAN TWICE: tests/test_planted.py::")[2]
    assert "AssertionError: planted" in result.stdout.partition("RAN TWICE")[2]


def test_what_fails_twice_fails_in_ci_too(tmp_path):
    result = run(tmp_path, PASSES_LATER.format(passes=3), reruns=5)
    assert result.returncode == 1, result.stdout + result.stderr
    assert (tmp_path / "tests/runs").read_text() == ".."


def test_not_more_tests_run_twice_in_ci_than_it_allows(tmp_path):
    every_other_run = PASSES_LATER.replace("== {passes}", "% 2 == 0")
    result = run(tmp_path, every_other_run, "def test_another():\n    asyncio.run(test_planted())\n", reruns=1)
    assert result.returncode == 1, result.stdout + result.stderr
    assert (tmp_path / "tests/runs").read_text() == "..."

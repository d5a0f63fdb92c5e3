"""The plugin as an author meets it: options, exit codes, reports, and everything that may be wrong with a harness."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import waybill_conformance

HARNESS = '''
import asyncio, threading, time
from dataclasses import replace
from datetime import timedelta
from waybill.testing import MemoryDriver
from waybill_conformance import Harness
from waybill_conformance.harnesses.memory import MemoryHarness

class Child(MemoryHarness):
    """The memory harness with another driver class."""
    kind = MemoryDriver
    async def open(self, *, lease=timedelta(seconds=2)):
        self._first = self._first or self.kind(clock=self.clock, lease=lease, recording=False)
        driver = self._first.clone()
        await driver.open()
        return driver
'''


@pytest.fixture
def run(tmp_path):
    """Run the suite in a folder of its own; the completed process, and the report as `report`."""

    def run_suite(*options, harness="", path=None):
        (tmp_path / "theirs.py").write_text(HARNESS + harness, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(path or ""), "COLUMNS": "160"}
        command = [sys.executable, "-m", "pytest", "--pyargs", "waybill_conformance", "-p", "no:cacheprovider", "-q"]
        done = subprocess.run(
            [*command, *options, "--report", "report.json"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50,
        )  # fmt: skip
        report = tmp_path / "report.json"
        done.report = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
        done.text = done.stdout + done.stderr
        return done

    return run_suite


def test_a_run_ends_with_a_ledger_and_a_report(run):
    done = run("--driver", "memory", "-k", "lease or ack")
    assert done.returncode == 0, done.text
    assert "what this driver has proven" in done.stdout
    assert done.report["driver"] == "waybill.drivers.memory.driver.MemoryDriver"
    assert done.report["claims"]["ExtendsLease"]["status"] == "proven"
    assert done.report["claims"]["durability"]["status"] == "not offered"
    assert done.report["claims"]["KeepsState"]["status"] == "not run"
    assert done.report["refuted"] == []


def test_the_whole_suite_proves_the_memory_driver(run):
    done = run("--driver", "memory")
    assert done.returncode == 0, done.text
    statuses = {each["status"] for each in done.report["claims"].values()}
    assert statuses <= {"proven", "not offered", "declared", "not run"}
    assert done.report["counts"]["passed"] > 150


def test_cases_run_in_parallel(run):
    done = run("--driver", "memory", "-n", "2")
    assert done.returncode == 0, done.text
    assert done.report["claims"]["lease"]["status"] == "proven"


def test_processes_share_one_broker_and_those_that_stop_it_another(run, tmp_path):
    done = run(
        "--harness", "theirs:Sharing", "-n", "2", "-k", "(recovery and restart) or message_is_acked or ack_twice",
        harness="""
import os, pathlib

class Sharing(Child):
    clock = None

    def note(self, what):
        with pathlib.Path("notes").open("a") as out:
            out.write(f"{what} {os.getpid()} {self.url}\\n")

    async def share(self):
        self.note("share")
        return "shared://"

    async def restart(self):
        self.note("restart")

    async def open(self, *, lease=timedelta(seconds=2)):
        self.note("open")
        self._first = self._first or self.kind(lease=lease, recording=False)
        driver = self._first.clone()
        await driver.open()
        return driver

    async def close(self):
        self.note("close")
""",
    )  # fmt: skip
    notes = [line.split() for line in (tmp_path / "notes").read_text(encoding="utf-8").splitlines()]
    assert [what for what, *_ in notes].count("share") == 1, done.text
    stopped = {(pid, url) for what, pid, url in notes if what == "restart"}
    assert len(stopped) == 1 and {url for _, url in stopped} == {"None"}, notes
    assert {url for what, _, url in notes if what == "open"} == {"shared://", "None"}
    assert {pid for what, pid, _ in notes if what == "open"} == {pid for what, pid, _ in notes if what == "close"} - {
        pid for what, pid, _ in notes if what == "share"
    }


def test_a_lie_refutes_its_claim_and_fails_the_run(run):
    done = run(
        "--harness",
        "theirs:Lying",
        "-k",
        "extended_lease_holds",
        harness="""
class Lying(Child):
    class kind(MemoryDriver):
        async def extend(self, delivery):
            return replace(delivery, leased_until=self.clock.now() + timedelta(seconds=2))
""",
    )
    assert done.returncode == 1
    assert done.report["refuted"] == ["ExtendsLease"]
    assert "REFUTED" in done.stdout
    assert "test_an_extended_lease_holds" in done.report["failures"]


@pytest.mark.parametrize(("options", "told"), [
    ((), "name a driver with --driver SCHEME or --harness module:Class"),
    (("--driver", "memory", "--harness", "a:b"), "either --driver SCHEME"),
    (("--driver", "carrier-pigeon"), "no harness is registered"),
    (("--harness", "theirs"), "write module:Class"),
    (("--harness", "theirs:Nothing"), "no attribute 'Nothing'"),
    (("--harness", "nowhere:Nothing"), "No module named 'nowhere'"),
    (("--harness", "theirs:MemoryDriver"), "derive the class from it"),
    (("--harness", "theirs:Harness"), "needs `async def open(self, *, lease)`"),
])  # fmt: skip
def test_a_harness_that_is_none_is_a_usage_error_that_tells_the_cure(run, options, told):
    done = run(*options)
    assert done.returncode == 4, done.text
    assert told in done.text
    assert "INTERNALERROR" not in done.text


def test_a_harness_of_another_major_version_is_refused(run):
    done = run("--harness", "theirs:Old", harness='class Old(Child):\n    suite = "9.1"\n')
    assert done.returncode == 4, done.text
    assert "was written for waybill-conformance 9.1" in done.text


def test_a_harness_that_cannot_open_breaks_the_first_sentence(run):
    done = run(
        "--harness",
        "theirs:Broken",
        harness="""
class Broken(Harness):
    async def open(self, *, lease=timedelta(seconds=2)):
        raise ConnectionRefusedError("nobody there")
""",
    )
    assert done.returncode == 1, done.text
    assert "“a harness opens a driver” is broken: ConnectionRefusedError: nobody there" in done.text
    assert done.report["problems"][0] in done.text
    assert "INTERNALERROR" not in done.text


def test_a_harness_that_hangs_breaks_the_first_sentence_in_time(run):
    harness = """
class Hanging(Harness):
    patience = 0.01
    async def open(self, *, lease=timedelta(seconds=2)):
        time.sleep(3600)
"""
    done = run("--harness", "theirs:Hanging", harness=harness)
    assert done.returncode == 1, done.text
    assert "opening a driver took longer than" in done.report["problems"][0]
    assert "time.sleep(3600)" in done.text


def test_a_harness_may_start_a_broker_with_the_first_driver(run):
    harness = """
class Starting(Child):
    ended = None
    async def open(self, *, lease=timedelta(seconds=2)):
        if self.ended is None:
            self.ended = threading.Event()
            threading.Thread(target=self.ended.wait, name="broker").start()
        return await super().open(lease=lease)
    async def close(self):
        self.ended.set()
"""
    done = run("--harness", "theirs:Starting", "-k", "another_task_may_ack", harness=harness)
    assert done.returncode == 0, done.text


def test_a_harness_that_hangs_in_restart_fails_the_case_that_needs_it(run):
    harness = """
class Hanging(Child):
    class kind(MemoryDriver):
        @property
        def capabilities(self):
            return replace(super().capabilities, durability="host-lazy")
    async def restart(self):
        await asyncio.sleep(3600)
from waybill_conformance.cases import test_recovery
object.__setattr__(test_recovery.test_state_survives_the_kill_of_the_broker.case, "seconds", 2.0)
"""
    done = run("--harness", "theirs:Hanging", "-k", "state_survives", harness=harness)
    assert done.returncode == 1, done.text
    assert "took longer than 2 seconds" in done.text
    assert "durability" in done.report["refuted"]


def test_a_harness_that_raises_in_restart_fails_the_case_that_needs_it(run):
    done = run(
        "--harness",
        "theirs:Broken",
        "-k",
        "survives_the_kill",
        harness="""
class Broken(Child):
    class kind(MemoryDriver):
        @property
        def capabilities(self):
            return replace(super().capabilities, durability="host-lazy")
    async def restart(self):
        raise RuntimeError("the container is gone")
""",
    )
    assert done.returncode == 1, done.text
    assert "durability" in done.report["refuted"]
    assert "the container is gone" in done.stdout


def test_a_claim_that_needs_a_power_the_harness_lacks_is_refuted(run):
    done = run(
        "--harness",
        "theirs:Weak",
        "-k",
        "survives_the_kill",
        harness="""
class Weak(Child):
    class kind(MemoryDriver):
        @property
        def capabilities(self):
            return replace(super().capabilities, durability="host-fsync")
""",
    )
    assert done.returncode == 1, done.text
    assert done.report["claims"]["durability"]["status"] == "REFUTED"
    assert "this harness has no restart" in done.stdout


@pytest.mark.parametrize(("driver", "told"), [
    ("async def ack(self, delivery):\n            await asyncio.sleep(0); time.sleep(3600)", "took longer than"),
    ("async def ack(self, delivery):\n            raise KeyError(delivery)", "raised builtins.KeyError"),
    ("async def ack(self, delivery):\n            await super().ack(delivery); return True", "ack returned True"),
    ("def ack(self, delivery):\n            return None", "is not `async def`"),
    ("async def close(self):\n            asyncio.ensure_future(asyncio.sleep(9)); await super().close()", "tasks are left"),
    (
        "async def close(self):\n            threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        "threads are left",
    ),
    (
        "@property\n        def capabilities(self):\n            return replace(super().capabilities, max_batch=int(time.time() * 1e6))",
        "the capabilities changed",
    ),
])  # fmt: skip
def test_a_driver_that_misbehaves_is_told_the_sentence_and_the_fault(run, driver, told):
    harness = f"class Bad(Child):\n    class kind(MemoryDriver):\n        {driver}\n"
    patch = "\nfrom waybill_conformance import cases\nfrom waybill_conformance.cases import test_settling\n"
    shorten = "object.__setattr__(test_settling.test_another_task_may_ack.case, 'seconds', 2.0)\n"
    done = run("--harness", "theirs:Bad", "-k", "another_task_may_ack", harness=harness + patch + shorten)
    assert done.returncode != 0
    assert told in done.text, done.text
    assert "INTERNALERROR" not in done.text


def test_a_known_gap_is_printed_and_does_not_fail_the_run(run):
    done = run(
        "--harness",
        "theirs:Gap",
        "-k",
        "extended_lease_holds",
        harness="""
class Gap(Child):
    known_gaps = {"test_an_extended_lease_holds": "our server has no such call"}
    class kind(MemoryDriver):
        async def extend(self, delivery):
            return replace(delivery, leased_until=self.clock.now() + timedelta(seconds=2))
""",
    )
    assert done.returncode == 0, done.text
    assert done.report["claims"]["ExtendsLease"]["status"] == "gap"
    assert done.report["gaps"] == {"test_an_extended_lease_holds": "our server has no such call"}


def test_a_gap_that_has_healed_fails_the_run(run):
    gap = 'class Healed(Child):\n    known_gaps = {"test_an_extended_lease_holds": "no longer true"}\n'
    done = run("--harness", "theirs:Healed", "-k", "extended_lease_holds", harness=gap)
    assert done.returncode == 1, done.text
    assert done.report["counts"] == {"healed": 1}
    assert done.report["claims"]["ExtendsLease"]["status"] == "REFUTED"


def test_a_gap_for_a_case_that_does_not_exist_fails_the_run(run):
    gap = 'class Wrong(Child):\n    known_gaps = {"test_misspelt": "?"}\n'
    done = run("--harness", "theirs:Wrong", harness=gap)
    assert done.returncode == 1, done.text
    assert done.report["problems"] == ["known_gaps names a case that does not exist: test_misspelt"]


# -- a suite that was tampered with ------------------------------------------------------------------------


@pytest.fixture
def tampered(tmp_path, run):
    """Run a copy of the suite in which one text was replaced by another."""

    def run_tampered(file, before, after):
        site = tmp_path / "site"
        shutil.copytree(Path(waybill_conformance.__file__).parent, site / "waybill_conformance")
        path = site / "waybill_conformance" / "cases" / file
        source = path.read_text(encoding="utf-8")
        assert before in source
        path.write_text(source.replace(before, after, 1), encoding="utf-8")
        return run("--driver", "memory", path=site)

    return run_tampered


def test_a_deleted_case_fails_the_run(tampered):
    done = tampered("test_lease.py", "async def test_an_extended_lease_holds", "async def an_extended_lease_holds")
    assert done.returncode == 1, done.text
    assert "cases are missing from the installed suite: test_an_extended_lease_holds" in done.text


def test_a_skipped_case_fails_the_run(tampered):
    skip = "import pytest as p\n\n\n@p.mark.skip('not today')\n"
    done = tampered("test_lease.py", '@proves("ExtendsLease", given=timed)\nasync def test_an_extended', skip + '@proves("ExtendsLease", given=timed)\nasync def test_an_extended')  # fmt: skip
    assert done.returncode == 1, done.text
    assert "was skipped" in done.text
    assert "ExtendsLease" in done.report["refuted"]


def test_a_case_that_skips_itself_fails_the_run(tampered):
    done = tampered("test_lease.py", "    delivery = await bench.take(queue)\n", "    pytest.skip('busy')\n    delivery = await bench.take(queue)\n")  # fmt: skip
    assert done.returncode == 1, done.text
    assert "was skipped" in done.text


def test_an_emptied_case_fails_the_run(tampered):
    done = tampered("test_payload.py", 'assert await round_trip(bench, b"") == b""', "pass")
    assert done.returncode == 1, done.text
    assert "the case has called no verb of the driver" in done.text


def test_a_url_names_a_broker_that_other_processes_share(run, tmp_path):
    done = run("--driver", "sqlite", "--url", f"sqlite:///{tmp_path}/shared.db", "-k", "process")
    assert done.returncode == 0, done.text
    assert done.report["counts"]["passed"] == 4
    assert "url" in done.report["powers"]

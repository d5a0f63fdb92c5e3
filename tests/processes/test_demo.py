"""`waybill demo` runs, and its balance would show a job that is lost, early or repeated without a cause."""

import json

import pytest

from waybill.cli.demo.ledger import Entry
from waybill.cli.demo.report import KILLED, LEASE, UNEXPLAINED, balance

MEASURED = {"lines": 1, "functions": 1, "classes": 1}


def entry(event, job_id, at, *, pid=1, attempt=1, job="measure", facts=MEASURED):
    return Entry(event, job, job_id, attempt, pid, at, facts if event == "finish" else {})


def report_on(*entries, accepted=("a",), dead=None):
    return balance(entries, accepted, dead or {}, killed={9}, lease=3.0, slots=2, seconds=1.0)


@pytest.mark.timeout(120)
def test_the_demo_loses_nothing(waybill_demo):
    result = waybill_demo()
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["missing"] == report["faults"] == []
    assert report["accepted"] == report["finished"] + len(report["dead"]) > 500
    assert report["reminders"] == 20
    assert report["earliest"] >= 0


@pytest.fixture
def waybill_demo(home):
    import subprocess
    import sys

    command = [sys.executable, "-m", "waybill", "demo", "--json"]
    return lambda: subprocess.run(command, capture_output=True, text=True, timeout=100)


def test_a_job_that_is_nowhere_is_missing():
    report = report_on(entry("start", "a", 0), accepted=["a", "b", "c"], dead={"b": "permanent"})
    assert report.missing == ["a", "c"]
    assert report.faults == ["2 accepted jobs are missing"]


def test_a_job_that_ran_and_one_that_died_are_not():
    report = report_on(entry("start", "a", 0), entry("finish", "a", 1), accepted=["a", "b"], dead={"b": "permanent"})
    assert (report.missing, report.faults, report.finished, report.files) == ([], [], 1, 1)


@pytest.mark.parametrize(
    ("pid", "again", "cause"),
    [(9, 0.1, KILLED), (1, 3.5, LEASE), (1, 0.1, UNEXPLAINED)],
    ids=["killed", "lease", "none"],
)
def test_a_repeated_run_has_a_cause_or_is_a_fault(pid, again, cause):
    report = report_on(entry("start", "a", 0, pid=pid), entry("start", "a", again), entry("finish", "a", 5))
    assert report.repeated == {cause: 1}
    assert bool(report.faults) == (cause == UNEXPLAINED)


def test_a_retry_is_no_repetition():
    report = report_on(entry("start", "a", 0), entry("fail", "a", 0), entry("start", "a", 1), entry("finish", "a", 2))
    assert (report.retries, report.repeated) == (1, {})


def test_an_early_reminder_is_a_fault():
    run = (entry("start", "a", 0, job="remind"), entry("finish", "a", 0, job="remind", facts={"late": -0.5}))
    assert report_on(*run).faults == ["a reminder ran 0.500 s early"]


def test_an_urgent_job_that_waited_is_a_fault():
    before = [each for name in "bcd" for each in (entry("start", name, 0), entry("finish", name, 0))]
    run = (entry("start", "a", 1, job="urgent"), entry("finish", "a", 1, job="urgent", facts={}))
    assert report_on(*before, *run).faults == ["urgent jobs had to wait for others"]

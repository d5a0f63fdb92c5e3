"""What an author starts from: a driver of six verbs, the directory driver, and the template."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DIRECTORY = HERE / "directory/waybill_directory/driver.py"


def prove(harness, tmp_path, *options, path):
    """Run the suite on a harness as its author would; the report."""
    command = [sys.executable, "-m", "pytest", "--pyargs", "waybill_conformance", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--harness", harness, "--report", "report.json", *options],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(path)}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def statuses(report, kind):
    return {name: claim["status"] for name, claim in report["claims"].items() if claim["kind"] == kind}


@pytest.mark.timeout(120)
def test_a_driver_of_six_verbs_passes_with_all_else_not_offered(tmp_path):
    report = prove("six:SixHarness", tmp_path, path=HERE)
    found = statuses(report, "claim")
    offered = {name for name, status in found.items() if status != "not offered"}
    assert offered == {"max_message_bytes", "max_delay", "max_nack_delay", "delay_resolution", "lease", "fencing"}
    assert {found[name] for name in offered} == {"proven"}


@pytest.mark.timeout(120)
def test_the_directory_driver_passes_with_what_it_claims(tmp_path):
    report = prove("waybill_directory.harness:DirectoryHarness", tmp_path, path=HERE / "directory")
    found = statuses(report, "claim")
    assert found["ExtendsLease"] == found["Releases"] == found["Counts"] == found["durability"] == "proven"
    assert found["KeepsState"] == "not offered"


@pytest.mark.timeout(120)
def test_the_directory_driver_is_shared_by_processes(tmp_path):
    url = f"directory:///{tmp_path}/jobs"
    harness = "waybill_directory.harness:DirectoryHarness"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*command, str(HERE / "directory")], check=True, capture_output=True)
    report = prove(harness, tmp_path, "--url", url, "-k", "process", path=tmp_path / "site")
    assert report["counts"]["passed"] == 4


def test_the_directory_driver_is_short_enough_to_be_read():
    assert DIRECTORY.read_text(encoding="utf-8").count("\n") < 200


def test_the_directory_driver_imports_what_a_driver_may():
    source = DIRECTORY.read_text(encoding="utf-8").splitlines()
    imported = {line.split()[1] for line in source if line.startswith("from waybill")}
    assert imported <= {"waybill.driver", "waybill.envelope", "waybill.errors", "waybill.timing"}

"""The documents say what the suite has proven: tables are made from kept reports, and those from runs like this one.

The drivers are those of [tool.proven] in pyproject.toml.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from waybill_conformance.brokers import KINDS, broker_or_skip
from waybill_conformance.kept import kept, read_report
from waybill_conformance.table import BEGIN, END, matrix_of, table_of

ROOT = Path(__file__).parents[2]
DRIVERS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["proven"]
REPORTS = {name: ROOT / f"docs/reference/reports/{name}.json" for name in DRIVERS}
READMES = {name: f"packages/driver-{name}/README.md" for name in DRIVERS if name != "memory"}
RENEW = "renew it with `nox -s tables`"


def between_markers(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    return text.partition(f"{BEGIN}\n")[2].partition(END)[0]


@pytest.mark.parametrize("driver", READMES)
def test_the_table_of_a_driver_is_that_of_its_report(driver):
    assert table_of(read_report(REPORTS[driver])) in between_markers(READMES[driver]), RENEW


def test_the_matrix_of_the_drivers_is_that_of_their_reports():
    made = matrix_of({name: read_report(path) for name, path in REPORTS.items()})
    assert made in between_markers("docs/reference/drivers.md"), RENEW


def test_every_driver_of_the_repository_is_proven():
    assert {path.name.removeprefix("driver-") for path in ROOT.glob("packages/driver-*")} == set(READMES)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_kept_report_is_what_a_fresh_run_proves(driver, tmp_path):
    if DRIVERS[driver]["scheme"] in KINDS:
        broker_or_skip(DRIVERS[driver]["scheme"]).stop()
    # A broker that is somebody else's is neither restarted nor paused: less than what is kept could be proven.
    environment = {name: value for name, value in os.environ.items() if not is_broker(name)}
    command = [sys.executable, "-m", "pytest", "--pyargs", "waybill_conformance", "-q", "--report", "report.json"]
    command += ["--driver", DRIVERS[driver]["scheme"]]
    if "processes" in DRIVERS[driver]:
        command += ["-n", str(DRIVERS[driver]["processes"])]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=390)
    assert done.returncode == 0, done.stdout + done.stderr
    fresh = kept(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))
    assert fresh == read_report(REPORTS[driver]), RENEW


def is_broker(name):
    return name.startswith("WAYBILL_") and name.endswith("_URL")

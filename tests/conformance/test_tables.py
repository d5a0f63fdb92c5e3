"""The documents say what the suite has proven: tables are made from kept reports, and those from runs like this one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from waybill_conformance.kept import kept, read_report
from waybill_conformance.table import BEGIN, END, matrix_of, table_of

ROOT = Path(__file__).parents[2]
REPORTS = {name: ROOT / f"docs/reference/reports/{name}.json" for name in ("memory", "sqlite")}
RENEW = "renew it with `nox -s tables`"


def between_markers(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    return text.partition(f"{BEGIN}\n")[2].partition(END)[0]


def test_the_table_of_the_sqlite_driver_is_that_of_its_report():
    assert table_of(read_report(REPORTS["sqlite"])) in between_markers("packages/driver-sqlite/README.md"), RENEW


def test_the_matrix_of_the_drivers_is_that_of_their_reports():
    made = matrix_of({name: read_report(path) for name, path in REPORTS.items()})
    assert made in between_markers("docs/reference/drivers.md"), RENEW


@pytest.mark.timeout(120)
@pytest.mark.parametrize("driver", sorted(REPORTS))
def test_a_kept_report_is_what_a_fresh_run_proves(driver, tmp_path):
    command = [sys.executable, "-m", "pytest", "--pyargs", "waybill_conformance", "--driver", driver, "-q"]
    done = subprocess.run(
        [*command, "--report", "report.json"], cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    fresh = kept(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))
    assert fresh == read_report(REPORTS[driver]), RENEW

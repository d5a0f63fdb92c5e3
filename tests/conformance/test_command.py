"""The command `waybill-conformance`: a new package, tables and badges."""

import json
import os
import subprocess
import sys

import pytest

from waybill_conformance.command import run

REPORT = {
    "report": 1, "suite": "0.1.0", "core": "0.1.0", "driver": "waybill_pigeon.PigeonDriver", "driver_version": "1.2",
    "python": "3.11.7", "at": "2026-01-01T00:00:00+00:00", "powers": ["restart"], "refuted": [], "problems": [],
    "counts": {"passed": 2}, "gaps": {}, "failures": {},
    "claims": {
        "ExtendsLease": {"kind": "claim", "value": "yes", "status": "proven", "levels": ["held | long"], "cases": {"test_a": "passed"}},
        "Cancels": {"kind": "claim", "value": "no", "status": "not offered", "levels": [], "cases": {}},
        "lease": {"kind": "claim", "value": "2 seconds", "status": "proven", "levels": [], "cases": {"test_b": "passed"}},
        "delivery": {"kind": "conduct", "value": "", "status": "proven", "levels": ["woken within 3 ms"], "cases": {"test_c": "passed"}},
    },
}  # fmt: skip


@pytest.fixture
def report(tmp_path):
    """A report on disk, with some of it changed."""

    def make(name="pigeon", **changes):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(REPORT | changes), encoding="utf-8")
        return str(path)

    return make


def refuted():
    claims = json.loads(json.dumps(REPORT["claims"]))
    claims["lease"]["status"] = "REFUTED"
    return claims


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["kafka", "my-broker"])
def test_a_new_package_is_proven_as_it_is(name, tmp_path, capsys):
    assert run(["new", name, "--into", str(tmp_path)]) == 0
    folder = tmp_path / f"waybill-{name}"
    assert f"pip install -e '{folder}[test]'" in capsys.readouterr().out
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(folder)]
    subprocess.run(install, check=True, capture_output=True)
    command = [sys.executable, "-m", "pytest", "--pyargs", "waybill_conformance", "--driver", name, "-q"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "REFUTED" not in done.stdout
    assert (folder / ".github/workflows/conformance.yml").exists()
    assert "example" not in (folder / "pyproject.toml").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("name", ["", "Kafka", "a b", "../x", "-x", "memory", "x" * 41])
def test_a_bad_name_is_refused_in_one_line_and_nothing_is_written(name, tmp_path, capsys):
    assert run(["new", "--into", str(tmp_path), "--", name]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert "Nothing was written" in told
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path, capsys):
    (tmp_path / "waybill-kafka").mkdir()
    assert run(["new", "kafka", "--into", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert not list((tmp_path / "waybill-kafka").iterdir())


def test_a_table_shows_what_is_proven_and_names_what_is_not_offered(report, capsys):
    assert run(["table", report()]) == 0
    made = capsys.readouterr().out
    assert "| `ExtendsLease` | yes | proven | held \\| long |" in made
    assert "Not offered: `Cancels`." in made
    assert "What every driver must do, proven: `delivery`." in made


def test_a_table_of_several_reports_compares_them(report, capsys):
    assert run(["table", report(), report("hawk", claims=refuted())]) == 0
    made = capsys.readouterr().out
    assert "| | pigeon | hawk |" in made
    assert "| `lease` | timed (2 seconds in the run) | timed (2 seconds in the run) (**REFUTED**) |" in made


def test_a_table_is_written_between_the_markers_and_nowhere_else(report, tmp_path):
    document = tmp_path / "README.md"
    document.write_text("# Pigeon\n\n<!-- claims -->\nold\n<!-- /claims -->\n\nThe end.\n", encoding="utf-8")
    assert run(["table", report(), "--write", str(document)]) == 0
    text = document.read_text(encoding="utf-8")
    assert text.startswith("# Pigeon\n\n<!-- claims -->\n")
    assert text.endswith("<!-- /claims -->\n\nThe end.\n")
    assert "old" not in text
    assert "`ExtendsLease`" in text


def test_a_document_without_markers_is_left_alone(report, tmp_path, capsys):
    document = tmp_path / "README.md"
    document.write_text("# Pigeon\n", encoding="utf-8")
    assert run(["table", report(), "--write", str(document)]) == 1
    assert "needs the lines <!-- claims -->" in capsys.readouterr().err
    assert document.read_text(encoding="utf-8") == "# Pigeon\n"


def test_a_badge_is_green_with_what_is_proven_and_red_with_what_is_refuted(report, tmp_path):
    for source, message, colour in (
        (report(), "3 proven", "brightgreen"),
        (report("bad", claims=refuted()), "1 refuted", "red"),
    ):
        assert run(["badge", source, "--output", str(tmp_path / "badge.svg")]) == 0
        assert message in (tmp_path / "badge.svg").read_text(encoding="utf-8")
        assert run(["badge", source, "--output", str(tmp_path / "badge.json"), "--json"]) == 0
        told = json.loads((tmp_path / "badge.json").read_text(encoding="utf-8"))
        assert (told["message"], told["color"], told["schemaVersion"]) == (message, colour, 1)


def test_a_kept_report_holds_nothing_that_differs_from_run_to_run(report, tmp_path):
    assert run(["keep", report(), "--output", str(tmp_path / "kept.json")]) == 0
    kept = json.loads((tmp_path / "kept.json").read_text(encoding="utf-8"))
    assert "at" not in kept
    assert "python" not in kept
    assert kept["claims"]["delivery"]["levels"] == []
    assert run(["keep", str(tmp_path / "kept.json"), "--output", str(tmp_path / "again.json")]) == 0
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "kept.json").read_bytes()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"report": 99, "claims": {}}'])
def test_what_is_no_report_is_told_in_one_line(text, tmp_path, capsys):
    (tmp_path / "report.json").write_text(text, encoding="utf-8")
    assert run(["table", str(tmp_path / "report.json")]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1

"""The same application, the same results, on every broker: nothing but the URL is changed."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

from waybill_conformance.brokers import KINDS, broker_or_skip

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SCHEMES = [how["scheme"] for how in PYPROJECT["tool"]["proven"].values()]
IN_THE_README = "sqlite:///jobs.db"


@pytest.fixture(params=SCHEMES)
def url(request, tmp_path):
    """A broker that nobody else uses."""
    if request.param not in KINDS:
        yield {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/jobs.db"}[request.param]
        return
    broker = broker_or_skip(request.param)
    yield broker.url
    broker.stop()


def output(*command, cwd):
    done = subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=cwd, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(120)
def test_an_application_has_the_same_results_on_every_broker(url, tmp_path):
    assert json.loads(output(HERE / "app.py", url, cwd=tmp_path)) == {
        "told": ["queued", *["scheduled"] * 6],
        "ran": sorted(
            [
                "order 1 (none)",
                "order 2 (later)",
                *(f"order {number} (none)" for number in range(10, 15)),
                "order 3 in a thread",
                "anna at attempt 3",
                "begun for dora",
                "order 99 (follow-up)",
            ]
        ),
        "sent back": 2,
        "reasons": ["carl has left", "never_work: attempt 2 of 2 failed: LookupError: no such address: bert"],
        "dead at the end": [],
    }


@pytest.mark.timeout(120)
def test_the_first_job_of_the_readme_runs_on_every_broker(url, tmp_path):
    examples = Sybil([CodeBlockParser(language="python")]).parse(ROOT / "README.md").examples()
    [source] = [each.parsed for each in examples if "# `run()` goes on until it is stopped" in each.parsed]
    assert IN_THE_README in source
    (tmp_path / "first.py").write_text(source.replace(IN_THE_README, url), encoding="utf-8")
    assert output("first.py", cwd=tmp_path) == "attempt 1: welcome u1 (en)\n"

"""Redis 8: nothing that is claimed is refuted there either."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from waybill_conformance.brokers import BrokerMissingError, start

from .trixie import Harness

HERE = Path(__file__).parent


@pytest.fixture
def available():
    """Told by name, and no failure: a machine without a container engine has but one Redis."""
    try:
        start(Harness.broker, how="container").stop()
    except BrokerMissingError as missing:
        pytest.skip(f"NO REDIS 8, NOT TESTED: {missing}")


@pytest.mark.broker
@pytest.mark.timeout(400)
def test_the_suite_refutes_nothing_on_redis_8(available, tmp_path):
    command = [sys.executable, "-m", "pytest", "--pyargs", "waybill_conformance", "--harness", "trixie:Harness"]
    report = tmp_path / "report.json"
    done = subprocess.run(
        [*command, "-n", "4", "-q", "-p", "no:cacheprovider", "--report", str(report)],
        cwd=HERE, capture_output=True, text=True, timeout=390,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    assert (found["refuted"], found["claims"]["durability"]["value"]) == ([], "host-fsync")

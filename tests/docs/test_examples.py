"""Every example is a program that ends well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waybill_conformance.brokers import broker_or_skip

EXAMPLES = Path(__file__).parents[2] / "examples"
STORIES = ("welcome_emails", "nightly_reports", "orders_and_payments", "newsletter", "user_import")
SCRIPTS = sorted(path for path in EXAMPLES.rglob("*.py") if not path.name.startswith("_"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_an_example_ends_well(path, tmp_path):
    command = [sys.executable, "-W", "error", str(path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def redis():
    with broker_or_skip("redis") as broker:
        yield broker.direct_url


@pytest.mark.broker
@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_well_on_redis_too(story, redis, tmp_path):
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{story}.py")]
    environment = {**os.environ, "WAYBILL_URL": redis}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not list(tmp_path.glob("*.db")), "it ran on SQLite"

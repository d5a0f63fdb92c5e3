"""Long random histories on Redis agree with the suite's model, on a server clock that is set: nobody waits."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.timeout(150)
def test_random_histories_agree_with_the_model(shared):  # shared: where there is no Redis, this is skipped too
    command = [sys.executable, "-m", "pytest", "--pyargs", "waybill_conformance", "--harness", "clocked:Harness"]
    done = subprocess.run(
        [*command, "-k", "random_histories", "-q", "-p", "no:cacheprovider"],
        cwd=HERE, capture_output=True, text=True, timeout=140,
    )  # fmt: skip
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr

"""Every example is a program that ends well."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.rglob("*.py") if not path.name.startswith("_"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_an_example_ends_well(path, tmp_path):
    command = [sys.executable, "-W", "error", str(path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert result.returncode == 0, result.stdout + result.stderr

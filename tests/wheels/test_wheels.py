"""What is published works outside the workspace: wheels, an empty environment, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("core", "driver-sqlite", "conformance")


def call(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment that holds our wheels, and what pip installs for them."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [str(ROOT / "packages" / name) for name in PACKAGES]
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder / "dist"), *sources, cwd=folder)
    call(sys.executable, "-m", "venv", str(folder / "env"), cwd=folder)
    wheels = [str(path) for path in (folder / "dist").glob("*.whl")]
    core = next(path for path in wheels if "/waybill-" in path)
    call(str(folder / "env/bin/pip"), "install", "-q", f"{core}[cli]", *wheels, cwd=folder)
    return folder


@pytest.mark.timeout(300)
def test_the_suite_of_the_wheels_proves_sqlite(environment):
    command = ["-m", "pytest", "--pyargs", "waybill_conformance", "--driver", "sqlite", "-q"]
    told = call(str(environment / "env/bin/python"), *command, cwd=environment)
    assert "what this driver has proven" in told
    assert "REFUTED" not in told


@pytest.mark.timeout(300)
def test_a_driver_made_from_the_template_passes_the_suite_of_the_wheels(environment):
    python = str(environment / "env/bin/python")
    call(str(environment / "env/bin/waybill-conformance"), "new", "pigeon", cwd=environment)
    call(python, "-m", "pip", "install", "-q", "--no-deps", "-e", "waybill-pigeon", cwd=environment)
    told = call(python, "-m", "pytest", "--pyargs", "waybill_conformance", "--driver", "pigeon", "-q", cwd=environment)
    assert "what this driver has proven" in told
    assert "REFUTED" not in told

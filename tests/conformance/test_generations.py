"""What is claimed holds on another generation of a broker as well: nothing is refuted there.

Their images go by `:trixie`, the Debian release whose packages they hold.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from waybill_conformance.brokers import KINDS, broker_or_skip

TAG = "trixie"
DRIVERS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["proven"]
SECOND = {name: how for name, how in DRIVERS.items() if how["scheme"] in {"redis", "amqp", "nats"}}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("driver", SECOND)
def test_nothing_is_refuted_on_another_generation(driver, tmp_path, monkeypatch):
    kind = KINDS[SECOND[driver]["scheme"]]
    image = f"{kind.name}:{TAG}"
    monkeypatch.delenv("WAYBILL_REQUIRE_BROKERS", raising=False)  # a second generation is had where it can be
    broker_or_skip(kind.name, how="container", image=image).stop()
    environment = {**os.environ, "WAYBILL_BROKERS": "container", f"WAYBILL_{kind.name.upper()}_IMAGE": image}
    command = [sys.executable, "-m", "pytest", "--pyargs", "waybill_conformance", "-q"]
    command += ["--driver", SECOND[driver]["scheme"], "-n", str(SECOND[driver]["processes"])]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=390)
    assert done.returncode == 0, done.stdout + done.stderr

"""Classic queues with priorities keep what is claimed of them, which is not what is claimed of quorum queues."""

import os
import subprocess
import sys

import pytest

from waybill_conformance.brokers import broker_or_skip

SUITE = ["--pyargs", "waybill_conformance", "-q", "-n", "4", "--harness", "waybill_rabbitmq.harness:ClassicHarness"]
ELSEWHERE = "not stands_still and not after_a_pause"
"""What a server that stands still does to a driver has nothing to do with the kind of its queues, and takes long."""


@pytest.mark.broker
@pytest.mark.timeout(400)
def test_classic_queues_with_priorities_keep_what_is_claimed_of_them(tmp_path):
    broker_or_skip("rabbitmq").stop()
    # A broker that is somebody else's is neither restarted nor paused: less could be proven.
    environment = {name: value for name, value in os.environ.items() if name != "WAYBILL_RABBITMQ_URL"}
    command = [sys.executable, "-m", "pytest", *SUITE, "-k", ELSEWHERE]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=390)
    assert done.returncode == 0, done.stdout + done.stderr

"""The honest drivers pass: in memory, beyond a network that fails, and with deliveries held by the connection."""

import pytest

from .kit import CASES, verdict
from .simulated import HoldingDriver, LinkedHarness


@pytest.mark.blocks_the_loop
@pytest.mark.parametrize("case", sorted(name for name, case in CASES.items() if case.power))
def test_a_driver_beyond_a_network_passes(case):
    outcome = verdict(LinkedHarness(), case)
    assert outcome is None or outcome == "not concerned", repr(outcome)


@pytest.mark.blocks_the_loop
@pytest.mark.parametrize("case", sorted(CASES))
def test_a_driver_whose_connection_holds_the_deliveries_passes(case):
    outcome = verdict(LinkedHarness(HoldingDriver), case)
    assert outcome is None or outcome == "not concerned", repr(outcome)

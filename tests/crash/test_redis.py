"""Redis: whatever is killed meanwhile, the server too, what was accepted is found again, and what ran twice has a cause."""

import pytest

from waybill_conformance.brokers import broker_or_skip

from .chaos import survive


@pytest.fixture
def broker():
    with broker_or_skip("redis", fsync="always") as broker:
        yield broker


@pytest.mark.broker
@pytest.mark.timeout(150)
async def test_20_kills_of_six_workers_and_one_of_the_server_lose_nothing(broker, tmp_path):
    await survive(tmp_path, f"{broker.direct_url}?lease=2s", kill_server=broker.restart, delayed=0.1)

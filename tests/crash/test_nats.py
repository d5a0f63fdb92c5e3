"""NATS: whatever is killed meanwhile, the server too, what was accepted is found again, and what ran twice has a cause.

On 2.10, as 2.9 may leave messages lying in a consumer after its pulls were killed: the driver's README tells more.
"""

import uuid

import pytest

from waybill_conformance.brokers import broker_or_skip

from .chaos import survive


@pytest.fixture
def broker():
    with broker_or_skip("nats", suite="trixie") as broker:
        yield broker


@pytest.mark.broker
@pytest.mark.timeout(150)
async def test_15_kills_of_five_workers_and_one_of_the_server_lose_nothing(broker, tmp_path):
    # It writes ten times a second what it has delivered: killed, it forgets the last attempts, and invents none.
    url = f"{broker.direct_url}/chaos-{uuid.uuid4().hex[:8]}?lease=2s"
    await survive(tmp_path, url, workers=5, kills=15, kill_server=broker.restart, delayed=0.1, remembers=False)

"""SQS: whatever is killed meanwhile, what was accepted is found again, and what ran twice has a cause."""

import pytest

from waybill_conformance.brokers import broker_or_skip

from .chaos import survive


@pytest.fixture
def broker():
    with broker_or_skip("ministack") as broker:
        yield broker


@pytest.mark.broker
@pytest.mark.timeout(150)
@pytest.mark.parametrize(("kind", "jobs"), [("fifo=false", 1000), ("fifo=true", 250)])
async def test_ten_kills_of_three_workers_lose_nothing(broker, tmp_path, kind, jobs):
    # The emulator is one process, and a FIFO queue gives a job per request: the lease is for the time that takes it.
    url = f"{broker.direct_url}&lease=4s&poll=1s&{kind}"
    await survive(tmp_path, url, jobs=jobs, workers=3, kills=10, delayed=0.1)

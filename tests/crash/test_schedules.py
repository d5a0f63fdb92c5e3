"""Each instant of a schedule is fired once, while the workers that fire it are killed at random and replaced."""

import pytest

from waybill_conformance.brokers import broker_or_skip

from .ticks import fire_through_kills


@pytest.mark.timeout(150)
async def test_each_instant_is_fired_once_on_sqlite(tmp_path):
    await fire_through_kills(tmp_path, f"sqlite:///{tmp_path}/jobs.db?lease=2s")


@pytest.fixture
def redis():
    with broker_or_skip("redis") as broker:
        yield broker


@pytest.mark.broker
@pytest.mark.timeout(150)
async def test_each_instant_is_fired_once_on_redis(redis, tmp_path):
    await fire_through_kills(tmp_path, f"{redis.direct_url}?lease=2s")


@pytest.fixture
def nats():
    with broker_or_skip("nats") as broker:
        yield broker


@pytest.mark.broker
@pytest.mark.timeout(150)
async def test_each_instant_is_fired_once_on_nats(nats, tmp_path):
    await fire_through_kills(tmp_path, f"{nats.direct_url}?lease=2s")


@pytest.fixture
def rabbitmq():
    with broker_or_skip("rabbitmq") as broker:
        yield broker


@pytest.mark.broker
@pytest.mark.timeout(150)
async def test_no_instant_is_missed_on_rabbitmq_with_a_store_of_its_own(rabbitmq, tmp_path):
    """Which forgets ids, so that a worker killed just after it has sent may leave a second job of the instant."""
    store = f"sqlite:///{tmp_path}/schedules.db"
    await fire_through_kills(tmp_path, rabbitmq.direct_url, schedules=store, exact=False)

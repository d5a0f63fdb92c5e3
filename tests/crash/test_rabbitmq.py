"""RabbitMQ: whatever is killed meanwhile, the server too, what was accepted is found again, and repeats have causes."""

import time

import pytest

from waybill_conformance.brokers import broker_or_skip

from .chaos import survive

DEAD_LETTERING = 180.0
"""Seconds after which a node dead-letters again what it could not place, as when it comes back: so late may a delay be,
seldom, that ended while the node was killed (`dead_letter_worker_publisher_confirm_timeout`)."""


@pytest.fixture
def broker():
    with broker_or_skip("rabbitmq") as broker:
        yield broker


@pytest.mark.broker
@pytest.mark.timeout(480)
async def test_15_kills_of_five_workers_forced_closes_and_a_kill_of_the_server_lose_nothing(broker, tmp_path):
    def fail():
        broker.cut()
        time.sleep(1)
        broker.restart()

    chaos = {"workers": 5, "kills": 15, "pause": 0.5, "delayed": 0.25, "kill_server": fail}
    await survive(tmp_path, broker.url, **chaos, patience=DEAD_LETTERING + 60)

"""What the conformance suite needs to hold this driver to its claims: a RabbitMQ server, started for it."""

from __future__ import annotations

import uuid
from datetime import timedelta

from waybill_conformance import LEASE
from waybill_conformance.brokers import BrokerHarness

from .driver import RabbitMQDriver


class RabbitMQHarness(BrokerHarness):
    """Every driver it opens is on one server, with queues of this run's own."""

    suite = "0.1"
    broker = "rabbitmq"

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"conformance-{uuid.uuid4().hex[:8]}"

    async def open(self, *, lease: timedelta = LEASE) -> RabbitMQDriver:
        address = await self.address()
        driver = RabbitMQDriver(address, prefix=self._prefix)
        if "prefix=" not in (self.url or ""):
            self.url = f"{address}{'&' if '?' in address else '?'}prefix={self._prefix}"  # for other processes
        await driver.open()
        return driver

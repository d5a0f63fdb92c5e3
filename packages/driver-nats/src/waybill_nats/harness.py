"""What the conformance suite needs to hold this driver to its claims: a NATS server, started for it."""

from __future__ import annotations

import uuid
from datetime import timedelta

from waybill_conformance import LEASE
from waybill_conformance.brokers import BrokerHarness

from .driver import NatsDriver


class NatsHarness(BrokerHarness):
    """Every driver it opens is on one server, in a namespace of this run's own."""

    suite = "0.1"
    broker = "nats"

    def __init__(self) -> None:
        super().__init__()
        self._namespace = f"conformance-{uuid.uuid4().hex[:8]}"

    async def open(self, *, lease: timedelta = LEASE) -> NatsDriver:
        address, _, query = (await self.address()).partition("?")
        if address.count("/") == 2:
            address = f"{address}/{self._namespace}"
        self.url = f"{address}?{query}" if query else address  # for other processes
        driver = NatsDriver(self.url, lease=lease)
        await driver.open()
        return driver

    async def raw(self, queue: str, body: bytes) -> None:
        """Publish to a subject of the queue's level 0, which is all that another program has to know."""
        import nats

        address, _, namespace = (self.url or "").partition("?")[0].rpartition("/")
        client = await nats.connect(address, allow_reconnect=False)
        try:
            await client.request(f"{namespace}.{queue.replace('.', '=')}.0.{uuid.uuid4().hex}", body)
        finally:
            await client.close()

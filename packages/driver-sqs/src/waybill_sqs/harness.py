"""What the conformance suite needs to hold this driver to its claims: an emulator of AWS, started for it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from waybill_conformance.brokers import BrokerHarness

from .driver import SqsDriver

LEASE: Final = timedelta(seconds=3)
"""Reading dead letters to their end takes a second each time, and some cases do that while they hold a job."""


class SqsHarness(BrokerHarness):
    """Every driver it opens has queues of this run's own, on one emulator. `FifoHarness` has FIFO queues."""

    suite = "0.1"
    broker = "ministack"
    options = "poll=1s"
    """That no driver waits for long polls when it closes."""

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"conformance-{uuid.uuid4().hex[:8]}"

    async def open(self, *, lease: timedelta = LEASE) -> SqsDriver:
        address = await self.address()
        if "prefix=" not in address:
            address += f"{'&' if '?' in address else '?'}prefix={self._prefix}&{self.options}"
            self.url = address  # for other processes
        driver = SqsDriver(f"{address}&lease={lease.total_seconds():g}s")
        await driver.open()
        return driver


class FifoHarness(SqsHarness):
    """The same on FIFO queues: `--harness waybill_sqs.harness:FifoHarness`."""

    options = f"{SqsHarness.options}&fifo=true"

"""The harness of `waybill.testing.MemoryDriver`, on a virtual clock."""

from __future__ import annotations

from datetime import timedelta

from waybill.testing import MemoryDriver, VirtualClock

from ..harness import LEASE, Harness, VirtualTime


class MemoryHarness(Harness):
    """Every driver it opens is a clone of the first, so all share one store."""

    def __init__(self) -> None:
        self.clock: VirtualTime | None = VirtualClock()
        self._first: MemoryDriver | None = None

    async def open(self, *, lease: timedelta = LEASE) -> MemoryDriver:
        if self._first is None:
            self._first = MemoryDriver(clock=self.clock, lease=lease, recording=False)
        driver = self._first.clone()
        await driver.open()
        return driver

"""Faults of clones."""

import asyncio
import threading
from dataclasses import replace

from waybill.drivers.memory.store import Store
from waybill.errors import LeaseLostError
from waybill.testing import MemoryDriver

from . import killed_by


class ClonesBadly(MemoryDriver):
    """Its harness opens further drivers another way."""

    clones_badly = True


@killed_by("test_a_clone_serves_the_same_store", "test_closing_a_driver_leaves_its_clone_open")
class ClonesAnEmptyStore(ClonesBadly):
    """A clone of the class, and not of the connection."""

    def clone(self):
        twin = super().clone()
        twin._use(Store(self.clock, self._shared.lease, recording=False))
        return twin


@killed_by("test_a_clone_has_the_claims_of_its_driver")
class ClonesWithDefaults(ClonesBadly):
    """A clone has forgotten its options."""

    def clone(self):
        twin = super().clone()
        twin.__dict__["forgetful"] = True
        return twin

    @property
    def capabilities(self):
        able = super().capabilities
        return replace(able, lease=able.lease * 30) if self.__dict__.get("forgetful") else able


@killed_by("test_a_clone_settles_what_the_other_one_received", "test_a_clone_extends_what_the_other_one_received")
class ReceiptsOfTheConnection(ClonesBadly):
    """A receipt is good for the connection that gave it."""

    async def receive_many(self, queues, *, limit, wait):
        got = await super().receive_many(queues, limit=limit, wait=wait)
        self.__dict__.setdefault("mine", set()).update(each.receipt for each in got)
        return got

    def _check(self, delivery):
        if delivery.receipt not in self.__dict__.get("mine", ()):
            raise LeaseLostError("of another connection")

    def clone(self):
        twin = super().clone()
        twin.__dict__["mine"] = set()
        return twin

    async def ack(self, delivery):
        self._check(delivery)
        await super().ack(delivery)

    async def extend(self, delivery):
        self._check(delivery)
        return await super().extend(delivery)


@killed_by("test_a_clone_refuses_a_receipt_that_is_lost")
class ACloneTrustsReceipts(ClonesBadly):
    """Only the connection that received looks at receipts."""

    def clone(self):
        twin = super().clone()
        twin.__dict__["trusting"] = True
        return twin

    async def extend(self, delivery):
        record = self._shared.queue(delivery.message.queue).records.get(delivery.message.id)
        if self.__dict__.get("trusting") and record is not None:
            delivery = replace(delivery, receipt=record.receipt)
        return await super().extend(delivery)


@killed_by("test_closing_a_clone_leaves_its_driver_open")
class ACloneClosesAll(ClonesBadly):
    """They share one connection."""

    def clone(self):
        twin = super().clone()
        twin.__dict__["original"] = self
        return twin

    async def close(self):
        await super().close()
        if "original" in self.__dict__:
            await self.__dict__["original"].close()


@killed_by("test_closing_a_driver_leaves_its_clone_open")
class ADriverClosesItsClones(ClonesBadly):
    """The clone's connection was the driver's."""

    def clone(self):
        twin = super().clone()
        self.__dict__.setdefault("clones", []).append(twin)
        return twin

    async def close(self):
        await super().close()
        for each in self.__dict__.get("clones", ()):
            await MemoryDriver.close(each)


@killed_by("test_a_clone_that_nobody_opens_holds_up_nothing")
class ACloneTakesItsShare(ClonesBadly):
    """Half of what comes waits for the clone."""

    def clone(self):
        self._shared.__dict__["clones"] = True
        return super().clone()

    async def receive_many(self, queues, *, limit, wait):
        if self._shared.__dict__.pop("clones", False):
            await super().receive_many(queues, limit=1, wait=wait)
        return await super().receive_many(queues, limit=limit, wait=wait)


@killed_by("test_a_clone_renews_a_lease_while_the_loop_of_its_driver_is_blocked")
class AClonesLoopIsItsDrivers(ClonesBadly):
    """A clone waits for the loop of its driver."""

    async def open(self):
        loop = self._shared.__dict__.setdefault("loop", asyncio.get_running_loop())
        if loop is not asyncio.get_running_loop():
            free = threading.Event()
            loop.call_soon_threadsafe(free.set)
            while not free.is_set():
                await asyncio.sleep(0.01)
        await super().open()

"""Faults of leases."""

from dataclasses import replace
from datetime import timedelta

from waybill.testing import MemoryDriver

from . import killed_by


@killed_by("test_an_extended_lease_holds")
class ExtendsNothing(MemoryDriver):
    """An extension that only its return value knows of."""

    async def extend(self, delivery):
        await self.stats(delivery.message.queue)
        return replace(delivery, leased_until=self.clock.now() + self.capabilities.lease)


@killed_by("test_an_unsettled_message_comes_back_when_its_lease_ends_and_not_before")
class LeasesHalfAsLong(MemoryDriver):
    """Says a lease is twice as long as it is."""

    @property
    def capabilities(self):
        return replace(super().capabilities, lease=super().capabilities.lease * 2)


@killed_by("test_a_delivery_says_until_when_it_is_leased")
class LeasedUntilALongTime(MemoryDriver):
    """Tells a wrong end of the lease."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        return [replace(each, leased_until=each.leased_until + timedelta(hours=1)) for each in got]


@killed_by("test_a_delivery_says_until_when_it_is_leased")
class LeasedUntilSomeTime(MemoryDriver):
    """Tells local time, without a zone."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        return [replace(each, leased_until=each.leased_until.replace(tzinfo=None)) for each in got]

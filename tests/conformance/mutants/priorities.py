"""Faults of priorities."""

from dataclasses import replace
from datetime import timedelta

from waybill.testing import MemoryDriver

from . import killed_by


class Reprioritises(MemoryDriver):
    """Stores messages under another priority; receivers see the one that was sent."""

    def stored_as(self, message):
        raise NotImplementedError

    def _kept(self, message):
        self._shared.__dict__.setdefault("levels", {})[message.queue, message.id] = message.priority
        return replace(message, priority=self.stored_as(message))

    async def enqueue(self, message):
        return await super().enqueue(self._kept(message))

    async def enqueue_in(self, message, delay):
        return await super().enqueue_in(self._kept(message), delay)

    async def enqueue_at(self, message, when):
        return await super().enqueue_at(self._kept(message), when)

    async def enqueue_batch(self, items):
        return await super().enqueue_batch([(self._kept(message), due) for message, due in items])

    async def receive_many(self, queues, *, limit, wait):
        got = await super().receive_many(queues, limit=limit, wait=wait)
        levels = self._shared.__dict__.get("levels", {})
        return [
            replace(e, message=replace(e.message, priority=levels.get((e.message.queue, e.message.id), 0))) for e in got
        ]


@killed_by("test_every_level_goes_before_the_ones_below", "test_one_receive_takes_the_most_urgent_and_in_order")
class FiveLevelsForTen(Reprioritises):
    """Claims ten levels, and has five."""

    def stored_as(self, message):
        return message.priority // 2


@killed_by(
    "test_every_level_goes_before_the_ones_below", "test_an_urgent_message_that_comes_later_goes_before_what_waits"
)
class TheUrgentLast(Reprioritises):
    """Counts from the other end."""

    def stored_as(self, message):
        return 9 - message.priority


@killed_by("test_each_message_of_a_batch_has_its_own_priority")
class OnePriorityForTheBatch(MemoryDriver):
    """Takes the first one's."""

    async def enqueue_batch(self, items):
        first = items[0][0].priority if items else 0
        return await super().enqueue_batch([(replace(message, priority=first), due) for message, due in items])


@killed_by("test_a_delayed_urgent_message_goes_first_once_it_is_due")
class ADelayCostsThePriority(Reprioritises):
    """What was delayed is sorted in as ordinary."""

    def stored_as(self, message):
        return message.priority

    async def enqueue_in(self, message, delay):
        return await super().enqueue_in(replace(message, priority=0), delay)


@killed_by("test_a_message_given_back_keeps_its_priority")
class ANackCostsThePriority(MemoryDriver):
    """What is given back is sorted in as ordinary."""

    async def nack(self, delivery, *, delay=timedelta()):
        record = self._shared.queue(delivery.message.queue).held(delivery)
        record.message = replace(record.message, priority=0)
        await super().nack(delivery, delay=delay)


@killed_by("test_a_message_given_back_for_later_keeps_its_priority")
class ADelayedNackCostsThePriority(MemoryDriver):
    """What is given back for later is sorted in as ordinary."""

    async def nack(self, delivery, *, delay=timedelta()):
        record = self._shared.queue(delivery.message.queue).held(delivery)
        if delay:
            record.message = replace(record.message, priority=0)
        await super().nack(delivery, delay=delay)

"""Faults of batch verbs."""

from datetime import timedelta

from waybill.errors import DuplicateJobError, LeaseLostError
from waybill.testing import MemoryDriver

from . import killed_by


@killed_by("test_a_batch_of_any_size_is_stored_whole")
class LosesTheTail(MemoryDriver):
    """What is over the broker's own limit of a request is confirmed and not stored."""

    async def enqueue_batch(self, items):
        stored = await super().enqueue_batch(items[:1000])
        return [*stored, *(message.id for message, _ in items[1000:])]


@killed_by("test_a_batch_of_any_size_is_stored_whole")
class TripsOverNothing(MemoryDriver):
    """An empty batch is an error."""

    async def enqueue_batch(self, items):
        return [items[0] and each for each in await super().enqueue_batch(items)] if items else [items[0]]


@killed_by("test_each_message_of_a_batch_has_its_own_time")
class OneTimeForTheBatch(MemoryDriver):
    """Takes the first item's delay for all."""

    async def enqueue_batch(self, items):
        return await super().enqueue_batch([(message, items[0][1]) for message, _ in items])


@killed_by("test_each_message_of_a_batch_has_its_own_time")
class MomentsInABatchAreNow(MemoryDriver):
    """Knows delays in a batch, and no moments."""

    async def enqueue_batch(self, items):
        return await super().enqueue_batch([(m, due if isinstance(due, timedelta) else None) for m, due in items])


@killed_by("test_a_batch_may_hold_messages_of_several_queues")
class OneQueueForTheBatch(MemoryDriver):
    """Sends the batch to its first message's queue."""

    async def enqueue_batch(self, items):
        from dataclasses import replace

        return await super().enqueue_batch([(replace(message, queue=items[0][0].queue), due) for message, due in items])


@killed_by("test_large_messages_of_one_batch_are_all_stored")
class SplitsByCountOnly(MemoryDriver):
    """What makes the request larger than a mebibyte is dropped."""

    async def enqueue_batch(self, items):
        outcomes, size = [], 0
        for message, due in items:
            size += len(message.body)
            outcomes += [message.id] if size > 2**20 else await super().enqueue_batch([(message, due)])
        return outcomes


@killed_by("test_a_message_that_is_refused_is_told_in_its_place_and_the_others_are_stored")
class MisalignsOutcomes(MemoryDriver):
    """Failures are told last."""

    async def enqueue_batch(self, items):
        return sorted(await super().enqueue_batch(items), key=lambda each: isinstance(each, Exception))


@killed_by("test_a_message_that_is_refused_is_told_in_its_place_and_the_others_are_stored")
class CountsPlacesInEachQueue(MemoryDriver):
    """Sends each queue's part by itself, and tells a failure at its place there."""

    async def enqueue_batch(self, items):
        outcomes, found = [message.id for message, _ in items], await super().enqueue_batch(items)
        for queue in dict.fromkeys(message.queue for message, _ in items):
            part = [each for each, (message, _) in zip(found, items, strict=True) if message.queue == queue]
            for place, outcome in enumerate(part):
                if isinstance(outcome, Exception):
                    outcomes[place] = outcome
        return outcomes


@killed_by("test_a_message_that_is_refused_is_told_in_its_place_and_the_others_are_stored")
class HidesAFailure(MemoryDriver):
    """A request that was answered is a success for all."""

    async def enqueue_batch(self, items):
        outcomes = await super().enqueue_batch(items)
        return [
            message.id if isinstance(each, Exception) else each
            for each, (message, _) in zip(outcomes, items, strict=True)
        ]


@killed_by("test_a_message_that_is_refused_is_told_in_its_place_and_the_others_are_stored")
class OneFailureFailsAll(MemoryDriver):
    """One refused message takes the ones after it along."""

    async def enqueue_batch(self, items):
        outcomes = []
        for item in items:
            failed = outcomes and isinstance(outcomes[-1], DuplicateJobError)
            outcomes += [outcomes[-1]] if failed else await super().enqueue_batch([item])
        return outcomes


@killed_by("test_a_batch_of_acks_removes_just_those")
class AcksTheRange(MemoryDriver):
    """Acks everything between the first and the last."""

    async def ack_batch(self, deliveries):
        outcomes = await super().ack_batch(deliveries)
        for queue in {each.message.queue for each in deliveries}:
            for record in list(self._shared.queue(queue).records.values()):
                if record.state == "leased":
                    self._shared.queue(queue).remove(record)
        return outcomes


@killed_by("test_a_stale_ack_is_told_in_its_place_and_the_others_count")
class OneStaleAckFailsTheBatch(MemoryDriver):
    """All or nothing."""

    async def ack_batch(self, deliveries):
        try:
            for each in deliveries:
                self._shared.queue(each.message.queue).held(each)
        except LeaseLostError as error:
            return [error] * len(deliveries)
        return await super().ack_batch(deliveries)


@killed_by("test_a_batch_of_acks_may_be_of_any_size")
class AcksTheFirstHundred(MemoryDriver):
    """Confirms all, and sends what fits."""

    async def ack_batch(self, deliveries):
        outcomes = await super().ack_batch(deliveries[:100])
        return outcomes + [None] * (len(deliveries) - 100)


@killed_by("test_each_nack_of_a_batch_has_its_own_delay")
class OneDelayForAllNacks(MemoryDriver):
    """Takes the first one's delay."""

    async def nack_batch(self, items):
        return await super().nack_batch([(delivery, items[0][1]) for delivery, _ in items])


@killed_by("test_a_stale_nack_is_told_in_its_place_and_the_others_count")
class StaleNacksAreSilent(MemoryDriver):
    """Tells None for whatever happened."""

    async def nack_batch(self, items):
        await super().nack_batch(items)
        return [None] * len(items)


@killed_by("test_a_batch_of_extensions_holds_every_lease")
class ExtendsTheFirstOnly(MemoryDriver):
    """One request, one extension."""

    async def extend_batch(self, deliveries):
        return [*await super().extend_batch(deliveries[:1]), *deliveries[1:]]


@killed_by("test_a_stale_extension_is_told_in_its_place_and_the_others_count")
class StaleExtensionsAreSilent(MemoryDriver):
    """Returns the delivery as it was."""

    async def extend_batch(self, deliveries):
        outcomes = await super().extend_batch(deliveries)
        return [
            before if isinstance(after, Exception) else after
            for before, after in zip(deliveries, outcomes, strict=True)
        ]

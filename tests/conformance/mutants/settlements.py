"""Faults of acks, nacks, releases and receipts."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

from waybill.errors import LeaseLostError
from waybill.testing import MemoryDriver

from . import killed_by


def newest(driver, delivery):
    """The delivery as whoever holds the message now would have it."""
    record = driver._shared.queue(delivery.message.queue).records.get(delivery.message.id)
    return delivery if record is None else replace(delivery, receipt=record.receipt)


@killed_by("test_an_acked_message_never_comes_again", "test_an_ack_that_returned_is_not_undone_by_closing")
class AcksInMemory(MemoryDriver):
    """An ack is noted by the connection, and forgotten when it closes."""

    async def ack(self, delivery):
        self._shared.queue(delivery.message.queue).held(delivery)
        self.__dict__.setdefault("acked", []).append(delivery)

    async def ack_batch(self, deliveries):
        return [await self.ack(each) for each in deliveries]


@killed_by("test_deliveries_are_acked_in_any_order", "test_an_ack_concerns_one_delivery_and_no_other")
class AcksAllBefore(MemoryDriver):
    """An ack covers everything that was delivered before, as `multiple=True` does."""

    async def ack(self, delivery):
        await super().ack(delivery)
        for record in list(self._shared.queue(delivery.message.queue).records.values()):
            if record.state == "leased":
                self._shared.queue(delivery.message.queue).remove(record)


@killed_by("test_another_task_may_ack")
class AcksInTheTaskThatReceived(MemoryDriver):
    """A receipt is bound to the task that received."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        self.__dict__["task"] = asyncio.current_task()
        return got

    async def ack(self, delivery):
        if self.__dict__.get("task") is asyncio.current_task():
            await super().ack(delivery)


@killed_by("test_a_second_ack_is_refused_and_harms_no_other_delivery")
class ASecondAckClosesTheChannel(MemoryDriver):
    """An unknown receipt gives back everything in flight."""

    async def ack(self, delivery):
        try:
            await super().ack(delivery)
        except LeaseLostError:
            for record in list(self._shared.queue(delivery.message.queue).records.values()):
                if record.state == "leased":
                    self._shared.queue(delivery.message.queue).give_back(record, None, spent=True)
            raise


@killed_by("test_a_settled_delivery_is_not_settled_another_way")
class ANackOfNothingSucceeds(MemoryDriver):
    """Giving back what was done is quiet."""

    async def nack(self, delivery, *, delay=timedelta()):
        with contextlib.suppress(LeaseLostError):
            await super().nack(delivery, delay=delay)


@killed_by("test_a_delivery_given_back_is_not_acked_any_more")
class AReceiptOutlivesItsNack(MemoryDriver):
    """Receipts are message ids."""

    async def ack(self, delivery):
        await super().ack(newest(self, delivery))


@killed_by("test_a_receipt_that_nobody_gave_is_refused")
class TrustsReceipts(MemoryDriver):
    """Acks the message whatever the receipt says."""

    async def ack(self, delivery):
        if isinstance(delivery.receipt, str):
            return
        await super().ack(delivery)


@killed_by("test_a_receipt_that_nobody_gave_is_refused")
class TripsOverReceipts(MemoryDriver):
    """A malformed receipt is a TypeError."""

    async def ack(self, delivery):
        await super().ack(replace(delivery, receipt=delivery.receipt + 0))


@killed_by(
    "test_a_stale_ack_does_not_remove_what_another_holds",
    "test_what_a_stale_receiver_could_not_ack_is_still_there",
)
class AStaleAckRemoves(MemoryDriver):
    """Deletes by id: whoever acks last wins."""

    async def ack(self, delivery):
        await super().ack(newest(self, delivery))


@killed_by("test_what_a_stale_receiver_could_not_ack_is_still_there")
class AStaleAckIsRefusedTooLate(MemoryDriver):
    """Removes first, and compares the receipt then."""

    async def ack(self, delivery):
        fresh = newest(self, delivery)
        await super().ack(fresh)
        if fresh.receipt != delivery.receipt:
            raise LeaseLostError("too late")


@killed_by("test_a_stale_nack_gives_nothing_back")
class AStaleNackGivesBack(MemoryDriver):
    """Gives back by id, and takes the message from its new holder."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().nack(newest(self, delivery), delay=delay)


@killed_by("test_a_stale_release_gives_nothing_back", "test_a_settled_delivery_is_not_released")
class AStaleReleaseGivesBack(MemoryDriver):
    """Gives back by id, without looking."""

    async def release(self, delivery, *, delay=timedelta()):
        with contextlib.suppress(LeaseLostError):
            await super().release(newest(self, delivery), delay=delay)


@killed_by("test_a_stale_receipt_is_refused_also_after_the_holder_has_settled")
class SettlingWhatIsGoneSucceeds(MemoryDriver):
    """An ack of a message that is no longer there is a success."""

    async def ack(self, delivery):
        if delivery.message.id in self._shared.queue(delivery.message.queue).records:
            await super().ack(delivery)


@killed_by("test_a_receipt_is_stale_also_where_attempt_and_place_are_the_same_again")
class TheAttemptIsTheReceipt(MemoryDriver):
    """Fences by the attempt's number, which a release gives back."""

    async def receive(self, queue, *, limit, wait):
        return [replace(each, receipt=each.attempt) for each in await super().receive(queue, limit=limit, wait=wait)]

    async def _real(self, delivery):
        fresh = newest(self, delivery)
        record = self._shared.queue(delivery.message.queue).records.get(delivery.message.id)
        if record is None or record.attempt != delivery.receipt or record.state != "leased":
            raise LeaseLostError("another attempt")
        return fresh

    async def ack(self, delivery):
        await super().ack(await self._real(delivery))

    async def release(self, delivery, *, delay=timedelta()):
        await super().release(await self._real(delivery), delay=delay)


@killed_by(
    "test_a_nacked_message_comes_back_as_its_next_attempt",
    "test_a_nack_of_one_leaves_the_others_leased",
    "test_attempts_count_on_and_nothing_multiplies",
)
class DropsOnNack(MemoryDriver):
    """A nack is an ack."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().ack(delivery)


@killed_by("test_a_nacked_message_comes_back_as_its_next_attempt")
class LosesHeadersOnNack(MemoryDriver):
    """Gives back a copy without the headers."""

    async def nack(self, delivery, *, delay=timedelta()):
        record = self._shared.queue(delivery.message.queue).held(delivery)
        record.message = replace(record.message, headers={})
        await super().nack(delivery, delay=delay)


@killed_by("test_a_nack_of_one_leaves_the_others_leased")
class NacksAllOfTheConnection(MemoryDriver):
    """Gives back everything that is in flight."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().nack(delivery, delay=delay)
        for record in list(self._shared.queue(delivery.message.queue).records.values()):
            if record.state == "leased":
                self._shared.queue(delivery.message.queue).give_back(record, None, spent=True)


@killed_by("test_attempts_count_on_and_nothing_multiplies")
class StopsCountingAtTen(MemoryDriver):
    """The broker's own limit of deliveries drops the message."""

    async def nack(self, delivery, *, delay=timedelta()):
        if delivery.attempt >= 10:
            await super().ack(delivery)
        else:
            await super().nack(delivery, delay=delay)


@killed_by("test_attempts_count_on_and_nothing_multiplies")
class CopiesOnNack(MemoryDriver):
    """Sends a copy, and now and then forgets to remove the original."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().nack(delivery, delay=delay)
        if delivery.attempt == 7:
            await self.enqueue(replace(delivery.message, id=f"{delivery.message.id}~copy"))


@killed_by("test_a_released_message_comes_back", "test_a_message_released_for_later_is_not_early")
class DropsOnRelease(MemoryDriver):
    """A release is an ack."""

    async def release(self, delivery, *, delay=timedelta()):
        await super().ack(delivery)


@killed_by(
    "test_a_release_spends_no_attempt",
    "test_a_worker_that_stops_gives_back_what_it_cannot_finish",
)
class AReleaseSpendsAnAttempt(MemoryDriver):
    """A release is a nack."""

    async def release(self, delivery, *, delay=timedelta()):
        await super().nack(delivery, delay=delay)


@killed_by(
    "test_a_holder_that_vanished_counts_one_attempt",
    "test_an_unsettled_message_comes_back_when_its_lease_ends_and_not_before",
    "test_a_lease_that_ended_while_nobody_was_there_is_found_later",
    "test_a_job_that_kills_its_worker_is_given_up_after_its_attempts",
)
class ACrashIsNoAttempt(MemoryDriver):
    """A lease that ended gives the attempt back."""

    async def receive(self, queue, *, limit, wait):
        for record in list(self._shared.queue(queue).records.values()):
            if record.state == "leased" and record.at <= self.clock.now():
                self._shared.queue(queue).give_back(record, None, spent=False)
        return await super().receive(queue, limit=limit, wait=wait)


@killed_by("test_of_racing_settlements_one_wins")
class LooksThenSettles(MemoryDriver):
    """Compares the receipt, yields, and then settles whatever is there."""

    async def ack(self, delivery):
        self._shared.queue(delivery.message.queue).held(delivery)
        await asyncio.sleep(0)
        with contextlib.suppress(LeaseLostError):
            await super().ack(delivery)


@killed_by(
    "test_an_unsettled_message_comes_back_when_its_lease_ends_and_not_before",
    "test_a_lease_that_ended_while_nobody_was_there_is_found_later",
    "test_a_blocked_receive_wakes_when_a_lease_ends",
    "test_what_a_closed_driver_received_is_settled_by_nobody_and_comes_back",
)
class LeasesNeverEnd(MemoryDriver):
    """Nobody takes back what a dead receiver held."""

    async def receive_many(self, queues, *, limit, wait):
        for queue in queues:
            self._shared.queue(queue)._leased.clear()
        return await super().receive_many(queues, limit=limit, wait=wait)


@killed_by("test_a_driver_keeps_the_lease_it_claims_whatever_another_one_has")
class OneLeaseForAll(MemoryDriver):
    """Claims the lease that was asked for, and keeps the first one's."""

    def clone(self):
        twin = super().clone()
        twin.number = self.__dict__["clones"] = self.__dict__.get("clones", 0) + 1
        return twin

    @property
    def capabilities(self):
        able = super().capabilities
        return replace(able, lease=able.lease * 3) if self.__dict__.get("number", 0) == 3 else able


@killed_by("test_an_extension_is_a_full_lease_from_now")
class ExtendsFromTheStart(MemoryDriver):
    """A lease again, counted from its beginning."""

    async def extend(self, delivery):
        await super().extend(delivery)
        record = self._shared.queue(delivery.message.queue).held(delivery)
        record.at = delivery.leased_until
        return delivery


@killed_by("test_a_lost_lease_is_not_extended_nor_stolen_back", "test_a_settled_delivery_is_not_extended")
class ExtendsWhatIsLost(MemoryDriver):
    """An extension of anything succeeds."""

    async def extend(self, delivery):
        try:
            return await super().extend(newest(self, delivery))
        except LeaseLostError:
            return delivery

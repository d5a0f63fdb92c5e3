"""Faults of unique keys."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from waybill.errors import DuplicateJobError
from waybill.testing import MemoryDriver

from . import killed_by


class Rekeys(MemoryDriver):
    """Stores messages under another key; receivers see the one that was sent."""

    def rekeyed(self, message):
        raise NotImplementedError

    def _kept(self, message):
        if message.unique is None:
            return message
        self._shared.__dict__.setdefault("keys", {})[message.queue, message.id] = message.unique
        return replace(message, unique=self.rekeyed(message))

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
        keys = self._shared.__dict__.get("keys", {})
        return [replace(e, message=replace(e.message, unique=keys.get((e.message.queue, e.message.id)))) for e in got]


@killed_by(
    "test_a_key_that_is_held_keeps_others_out",
    "test_a_duplicate_in_a_batch_is_told_in_its_place_and_the_others_are_stored",
)
class KeepsNoKeys(Rekeys):
    """Claims to, and does not."""

    def rekeyed(self, message):
        return None


@killed_by("test_keys_are_told_apart_by_every_character")
class CutsKeys(Rekeys):
    """Sixteen letters, small ones."""

    def rekeyed(self, message):
        return replace(message.unique, key=message.unique.key[:16].lower().strip())


@killed_by("test_a_key_belongs_to_one_queue")
class OneKeyForAllQueues(MemoryDriver):
    """A key that is held in one queue is held in all."""

    async def enqueue(self, message):
        if message.unique is not None:
            for name, queue in self._shared.queues.items():
                holder = queue._unique.get(message.unique.key)
                if name != message.queue and holder is not None:
                    raise DuplicateJobError(message.unique.key, holder[0])
        return await super().enqueue(message)


@killed_by("test_an_id_never_conflicts_with_itself")
class ConflictsWithItself(MemoryDriver):
    """Looks at the key before the id."""

    async def enqueue(self, message):
        if message.unique is not None and message.unique.key in self._shared.queue(message.queue)._unique:
            raise DuplicateJobError(message.unique.key, message.id)
        return await super().enqueue(message)


@killed_by("test_messages_without_a_key_are_never_duplicates")
class NoKeyIsAKey(MemoryDriver):
    """What has no key has the key of the one before."""

    async def enqueue(self, message):
        records = self._shared.queue(message.queue).records
        stored = any(each.message.unique is None for each in records.values())
        if message.unique is None and stored and message.id not in records:
            raise DuplicateJobError("", None)
        return await super().enqueue(message)


class FreesKeys(MemoryDriver):
    """Frees a key when it should not."""

    def _free(self, message):
        if message.unique is not None:
            self._shared.queue(message.queue)._unique.pop(message.unique.key, None)


@killed_by("test_a_key_until_done_is_kept_over_a_nack")
class ANackFreesTheKey(FreesKeys):
    """What is given back holds nothing."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().nack(delivery, delay=delay)
        self._free(delivery.message)


@killed_by("test_a_key_until_done_is_kept_over_a_release")
class AReleaseFreesTheKey(FreesKeys):
    """What is released holds nothing."""

    async def release(self, delivery, *, delay=timedelta()):
        await super().release(delivery, delay=delay)
        self._free(delivery.message)


@killed_by(
    "test_a_key_until_done_is_kept_while_the_message_is_leased_and_freed_by_the_ack",
    "test_a_window_lasts_exactly_as_long_as_asked",
)
class AReceiveFreesEveryKey(FreesKeys):
    """Knows one scope, and takes it for all."""

    async def receive_many(self, queues, *, limit, wait):
        got = await super().receive_many(queues, limit=limit, wait=wait)
        for each in got:
            self._free(each.message)
        return got


@killed_by("test_a_key_until_done_is_kept_over_the_end_of_a_lease")
class KeysEndWithTheLease(MemoryDriver):
    """A key lives as long as a lease."""

    async def receive_many(self, queues, *, limit, wait):
        for name in queues:
            queue = self._shared.queue(name)
            for record in queue.records.values():
                if record.state == "leased" and record.at <= self.clock.now() and record.message.unique:
                    queue._unique.pop(record.message.unique.key, None)
        return await super().receive_many(queues, limit=limit, wait=wait)


@killed_by("test_a_delayed_message_holds_its_key")
class DelayedMessagesHoldNothing(MemoryDriver):
    """A key is taken when the message becomes due."""

    async def enqueue_in(self, message, delay):
        answer = await super().enqueue_in(message, delay)
        if message.unique is not None:
            self._shared.queue(message.queue)._unique.pop(message.unique.key, None)
        return answer


class NeverFrees(MemoryDriver):
    """Keeps a key over one of the ends of a message."""

    async def _keeping(self, queue, verb):
        store = self._shared.queue(queue)
        free, store.free_key = store.free_key, lambda message, *scopes: None
        try:
            return await verb
        finally:
            store.free_key = free


@killed_by(
    "test_a_key_until_done_is_kept_while_the_message_is_leased_and_freed_by_the_ack",
    "test_an_ack_frees_a_key_before_its_window_ends",
)
class AnAckKeepsTheKey(NeverFrees):
    """Keys end with their window alone."""

    async def ack(self, delivery):
        await self._keeping(delivery.message.queue, super().ack(delivery))


@killed_by("test_a_batch_of_acks_frees_the_keys")
class ABatchOfAcksKeepsTheKeys(NeverFrees):
    """The quick way of acking forgets the keys."""

    async def ack_batch(self, deliveries):
        if not deliveries:
            return []
        return await self._keeping(deliveries[0].message.queue, super().ack_batch(deliveries))


@killed_by("test_a_dead_letter_holds_no_key")
class ABurialKeepsTheKey(NeverFrees):
    """The dead hold their keys."""

    async def bury(self, delivery, reason, to=None):
        await self._keeping(delivery.message.queue, super().bury(delivery, reason, to))


@killed_by("test_a_cancelled_message_holds_no_key", "test_a_message_cancelled_before_its_start_holds_no_key")
class ACancelKeepsTheKey(NeverFrees):
    """The cancelled hold their keys."""

    async def cancel(self, queue, message_id):
        return await self._keeping(queue, super().cancel(queue, message_id))


@killed_by("test_a_purge_frees_the_keys_of_what_it_removes_and_no_others")
class APurgeKeepsTheKeys(NeverFrees):
    """The purged hold their keys."""

    async def purge(self, queue, *, force=False):
        return await self._keeping(queue, super().purge(queue, force=force))


@killed_by("test_a_purge_frees_the_keys_of_what_it_removes_and_no_others")
class APurgeFreesEveryKey(MemoryDriver):
    """Those of leased messages too."""

    async def purge(self, queue, *, force=False):
        removed = await super().purge(queue, force=force)
        self._shared.queue(queue)._unique.clear()
        return removed


@killed_by("test_a_cancelled_message_leaves_its_window_running")
class ACancelEndsTheWindow(MemoryDriver):
    """A window ends with its message."""

    async def cancel(self, queue, message_id):
        record = self._shared.queue(queue).records.get(message_id)
        done = await super().cancel(queue, message_id)
        if done and record.message.unique:
            self._shared.queue(queue)._unique.pop(record.message.unique.key, None)
        return done


@killed_by("test_a_key_until_start_is_freed_by_the_first_receive")
class StartMeansDone(Rekeys):
    """A key until the start is held until the end."""

    def rekeyed(self, message):
        unique = message.unique
        return replace(unique, until="done") if unique.until == "start" else unique


@killed_by("test_a_key_until_start_is_not_taken_again_by_a_nack")
class ANackTakesTheKeyAgain(MemoryDriver):
    """What waits holds its key, also for the second time."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().nack(delivery, delay=delay)
        message = delivery.message
        if message.unique is not None:
            self._shared.queue(message.queue)._unique.setdefault(message.unique.key, (message.id, None))


@killed_by("test_a_message_that_has_started_does_not_free_the_key_of_the_next")
class AnAckFreesTheNextOnesKey(MemoryDriver):
    """An ack frees the key's name."""

    async def ack(self, delivery):
        await super().ack(delivery)
        unique = delivery.message.unique
        if unique is not None and unique.until == "start":
            self._shared.queue(delivery.message.queue)._unique.pop(unique.key, None)


@killed_by("test_a_message_whose_window_has_ended_does_not_free_the_key_of_the_next")
class AnOldHolderFreesTheKey(MemoryDriver):
    """An ack frees the key's name, also when its window had ended."""

    async def ack(self, delivery):
        await super().ack(delivery)
        unique = delivery.message.unique
        if unique is not None and unique.window is not None:
            self._shared.queue(delivery.message.queue)._unique.pop(unique.key, None)


@killed_by("test_a_window_caps_a_key_until_done")
class NoCap(Rekeys):
    """A key until the end has no window."""

    def rekeyed(self, message):
        unique = message.unique
        return replace(unique, window=None) if unique.until == "done" else unique


@killed_by("test_a_window_lasts_exactly_as_long_as_asked", "test_windows_of_different_length_end_each_at_its_time")
class WindowsInWholeMinutes(Rekeys):
    """A window is rounded up to the minute."""

    def rekeyed(self, message):
        unique = message.unique
        return replace(unique, window=timedelta(minutes=1)) if unique.window else unique


@killed_by("test_a_window_lasts_exactly_as_long_as_asked")
class HalfAWindow(Rekeys):
    """A window is over too soon."""

    def rekeyed(self, message):
        unique = message.unique
        return replace(unique, window=unique.window / 2) if unique.window else unique


@killed_by("test_a_window_runs_from_acceptance_whatever_becomes_of_the_message")
class AWindowRunsFromTheLastTry(MemoryDriver):
    """A window begins anew when the message is given back."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().nack(delivery, delay=delay)
        message = delivery.message
        if message.unique is not None and message.unique.until == "window":
            end = self.clock.now() + message.unique.window
            self._shared.queue(message.queue)._unique[message.unique.key] = (message.id, end)


@killed_by("test_the_window_of_a_delayed_message_does_not_wait_for_its_time")
class AWindowRunsFromTheDueTime(MemoryDriver):
    """A window begins when the message is due."""

    async def enqueue_in(self, message, delay):
        answer = await super().enqueue_in(message, delay)
        if message.unique is not None and message.unique.window is not None:
            end = self.clock.now() + delay + message.unique.window
            self._shared.queue(message.queue)._unique[message.unique.key] = (message.id, end)
        return answer


@killed_by("test_of_fifty_that_want_one_key_at_once_one_is_stored")
class LooksThenTakesTheKey(MemoryDriver):
    """Looks whether the key is free, yields, and takes it."""

    async def enqueue(self, message):
        store = self._shared.queue(message.queue)
        if message.unique is not None:
            if message.unique.key in store._unique:
                raise DuplicateJobError(message.unique.key, store._unique[message.unique.key][0])
            await asyncio.sleep(0)
            store._unique.pop(message.unique.key, None)
        return await super().enqueue(message)


@killed_by("test_a_duplicate_does_not_disturb_the_holder")
class ADuplicateReplacesTheHolder(MemoryDriver):
    """Refused, and stored in the holder's place all the same."""

    async def enqueue_in(self, message, delay):
        try:
            return await super().enqueue_in(message, delay)
        except DuplicateJobError as error:
            record = self._shared.queue(message.queue).records.get(error.existing_job_id)
            if record is not None:
                record.message = replace(record.message, body=message.body, headers=message.headers)
            raise


@killed_by("test_a_key_that_is_held_keeps_others_out")
class TellsAnotherHolder(MemoryDriver):
    """Names the refused one."""

    async def enqueue(self, message):
        try:
            return await super().enqueue(message)
        except DuplicateJobError as error:
            raise DuplicateJobError(error.key, message.id) from None

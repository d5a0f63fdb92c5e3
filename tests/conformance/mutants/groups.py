"""Faults of groups and of order."""

from dataclasses import replace
from datetime import timedelta

from waybill.testing import MemoryDriver

from . import killed_by


class Regroups(MemoryDriver):
    """Does something to the group of every message that is stored; receivers see the one that was sent."""

    def regrouped(self, message):
        raise NotImplementedError

    def _stored(self, message):
        self._shared.__dict__.setdefault("groups", {})[message.queue, message.id] = message.group
        return replace(message, group=self.regrouped(message))

    async def enqueue(self, message):
        return await super().enqueue(self._stored(message))

    async def enqueue_in(self, message, delay):
        return await super().enqueue_in(self._stored(message), delay)

    async def enqueue_at(self, message, when):
        return await super().enqueue_at(self._stored(message), when)

    async def enqueue_batch(self, items):
        return await super().enqueue_batch([(self._stored(message), due) for message, due in items])

    async def receive_many(self, queues, *, limit, wait):
        got = await super().receive_many(queues, limit=limit, wait=wait)
        groups = self._shared.__dict__.get("groups", {})
        return [replace(e, message=replace(e.message, group=groups.get((e.message.queue, e.message.id)))) for e in got]


@killed_by("test_one_message_of_a_group_is_out_at_a_time")
class IgnoresGroups(Regroups):
    """Groups are carried, and mean nothing."""

    def regrouped(self, message):
        return None


@killed_by("test_groups_are_told_apart_by_their_whole_name")
class CutsGroupNames(Regroups):
    """A group is its first four letters, in small ones."""

    def regrouped(self, message):
        return message.group and message.group[:4].lower()


@killed_by("test_a_group_belongs_to_one_queue")
class OneGroupForAllQueues(MemoryDriver):
    """A group that is out in one queue is out in all."""

    async def receive_many(self, queues, *, limit, wait):
        out = {
            r.message.group
            for q in self._shared.queues.values()
            for r in q.records.values()
            if r.state == "leased" and r.message.group
        }
        got = await super().receive_many(queues, limit=limit, wait=wait)
        for each in got:
            if each.message.group in out:
                self._shared.give_back(each, timedelta(seconds=1), spent=False)
        return [each for each in got if each.message.group not in out]


@killed_by("test_groups_wait_for_themselves_alone")
class AGroupStopsTheQueue(MemoryDriver):
    """While a group's message is out, the queue waits."""

    async def receive_many(self, queues, *, limit, wait):
        for queue in queues:
            if any(r.state == "leased" and r.message.group for r in self._shared.queue(queue).records.values()):
                return []
        return await super().receive_many(queues, limit=limit, wait=wait)


class FreesTheGroup(MemoryDriver):
    """Lets the next of a group come while its head is only given back."""

    def _let_go(self, delivery):
        queue = self._shared.queue(delivery.message.queue)
        record = queue.records.get(delivery.message.id)
        line = queue._groups.get(delivery.message.group) if delivery.message.group else None
        if record is not None and line:
            _, following = line.pop(0)
            if following.state == "behind":
                queue.make_ready(following, head=True)


@killed_by(
    "test_a_message_given_back_comes_before_the_next_of_its_group",
    "test_a_message_given_back_for_later_holds_up_its_group_and_no_other",
)
class ANackFreesTheGroup(FreesTheGroup):
    """A message that is given back goes to the end of its group."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().nack(delivery, delay=delay + timedelta(milliseconds=1))
        self._let_go(delivery)


@killed_by("test_a_released_message_comes_before_the_next_of_its_group")
class AReleaseFreesTheGroup(FreesTheGroup):
    """A message that is released goes to the end of its group."""

    async def release(self, delivery, *, delay=timedelta()):
        await super().release(delivery, delay=delay + timedelta(milliseconds=1))
        self._let_go(delivery)


@killed_by("test_a_message_whose_lease_ended_comes_before_the_next_of_its_group")
class AnEndedLeaseFreesTheGroup(MemoryDriver):
    """A crashed receiver's message is put behind the next of its group."""

    async def receive_many(self, queues, *, limit, wait):
        for name in queues:
            queue = self._shared.queue(name)
            for record in list(queue.records.values()):
                if (
                    record.state == "leased"
                    and record.at <= self.clock.now()
                    and queue._groups.get(record.message.group)
                ):
                    _, following = queue._groups[record.message.group].pop(0)
                    queue.make_ready(following, head=True)
                    record.at = self.clock.now() + timedelta(milliseconds=60)
        return await super().receive_many(queues, limit=limit, wait=wait)


@killed_by("test_the_next_of_a_group_comes_when_its_first_is_cancelled")
class ACancelKeepsTheGroupClosed(MemoryDriver):
    """A cancelled head blocks its group for good."""

    async def cancel(self, queue, message_id):
        store = self._shared.queue(queue)
        let, store._let_next_come = store._let_next_come, lambda head: None
        try:
            return await super().cancel(queue, message_id)
        finally:
            store._let_next_come = let


@killed_by("test_the_next_of_a_group_comes_when_its_first_is_dead")
class ABurialKeepsTheGroupClosed(MemoryDriver):
    """A dead head blocks its group for good."""

    async def bury(self, delivery, reason, to=None):
        store = self._shared.queue(delivery.message.queue)
        let, store._let_next_come = store._let_next_come, lambda head: None
        try:
            await super().bury(delivery, reason, to)
        finally:
            store._let_next_come = let


@killed_by("test_a_group_goes_on_after_a_purge")
class APurgeKeepsTheGroupClosed(MemoryDriver):
    """A purged head blocks its group for good."""

    async def purge(self, queue, *, force=False):
        store = self._shared.queue(queue)
        groups = {
            each.message.group for each in store.records.values() if each.message.group and each.state != "leased"
        }
        removed = await super().purge(queue, force=force)
        for group in groups:
            store._groups.setdefault(group, [])
        return removed


@killed_by("test_a_purge_leaves_the_group_of_a_leased_message_waiting")
class APurgeOpensEveryGroup(MemoryDriver):
    """Forgets who is out."""

    async def purge(self, queue, *, force=False):
        removed = await super().purge(queue, force=force)
        self._shared.queue(queue)._groups.clear()
        return removed


@killed_by("test_a_cancelled_message_behind_the_first_sets_nothing_free")
class ACancelBehindOpensTheGroup(MemoryDriver):
    """Any cancelled message lets the next of its group come."""

    async def cancel(self, queue, message_id):
        store = self._shared.queue(queue)
        record = store.records.get(message_id)
        state = record.state if record else ""
        done = await super().cancel(queue, message_id)
        if done and state == "behind":
            store._let_next_come(record)
        return done


@killed_by("test_the_next_of_a_group_comes_when_the_one_given_back_for_later_is_cancelled")
class ACancelledWaitKeepsTheGroupClosed(MemoryDriver):
    """Only who is ready or out is taken for the head of a group."""

    async def cancel(self, queue, message_id):
        store = self._shared.queue(queue)
        record = store.records.get(message_id)
        if record is not None and record.state == "delayed":
            record.attempt = 0
        return await super().cancel(queue, message_id)


@killed_by("test_a_delayed_message_does_not_hold_up_its_group")
class ADelayHoldsUpItsGroup(MemoryDriver):
    """A message that is not due is its group's head."""

    async def enqueue_in(self, message, delay):
        answer = await super().enqueue_in(message, delay)
        if message.group is not None and delay > timedelta():
            self._shared.queue(message.queue)._groups.setdefault(message.group, [])
        return answer

    async def enqueue_at(self, message, when):
        return await self.enqueue_in(message, when - self.clock.now())


@killed_by("test_a_message_that_becomes_due_waits_for_the_one_of_its_group_that_is_out")
class WhatBecomesDuePassesItsGroup(MemoryDriver):
    """A due message does not look whether its group is out."""

    async def enqueue_in(self, message, delay):
        answer = await super().enqueue_in(message, delay)
        self._shared.queue(message.queue).records[message.id].attempt = 0
        record = self._shared.queue(message.queue).records[message.id]
        record.message = replace(record.message, group=None)
        return answer


@killed_by("test_a_group_waits_while_the_lease_of_its_first_is_extended")
class AGroupOpensAfterOneLease(MemoryDriver):
    """The group is held for one lease, whatever is extended."""

    async def extend(self, delivery):
        extended = await super().extend(delivery)
        queue = self._shared.queue(delivery.message.queue)
        line = queue._groups.get(delivery.message.group) if delivery.message.group else None
        if line:
            _, following = line.pop(0)
            queue.make_ready(following, head=True)
        return extended


@killed_by("test_a_group_keeps_its_order_whoever_receives", "test_a_group_is_in_order_within_batches_and_across")
class AGroupIsAStack(MemoryDriver):
    """The newest of a group comes first."""

    async def enqueue(self, message):
        answer = await super().enqueue(message)
        self._renumber(message.queue)
        return answer

    def _renumber(self, queue):
        for group, line in self._shared.queue(queue)._groups.items():
            newest = sorted((record for _, record in line), key=lambda each: -each.seq)
            self._shared.queue(queue)._groups[group] = [(place, record) for place, record in enumerate(newest)]

    async def enqueue_batch(self, items):
        answers = await super().enqueue_batch(items)
        for queue in {message.queue for message, _ in items}:
            self._renumber(queue)
        return answers


@killed_by("test_groups_keep_their_order_while_many_receive")
class ForgetsAGroupNowAndThen(Regroups):
    """Every fifth message has no group."""

    def regrouped(self, message):
        number = self._shared.__dict__["number"] = self._shared.__dict__.get("number", 0) + 1
        return None if number % 5 == 0 else message.group


@killed_by("test_what_one_receive_takes_of_a_group_is_in_order")
class TakesAGroupTogether(MemoryDriver):
    """Takes several of a group in one receive, the newest first."""

    async def receive_many(self, queues, *, limit, wait):
        got = await super().receive_many(queues, limit=limit, wait=wait)
        for each in got:
            store = self._shared.queue(each.message.queue)
            line = store._groups.get(each.message.group) if each.message.group else None
            if line and len(got) < limit:
                _, following = line.pop(0)
                store.make_ready(following, head=True)
                got = [*await super().receive_many([each.message.queue], limit=1, wait=timedelta()), *got]
        return got


# -- order ---------------------------------------------------------------------------------------------------


class Shuffles(MemoryDriver):
    """Stores messages under another number, so that others come first."""

    def place(self, message, seq):
        raise NotImplementedError

    async def enqueue(self, message):
        answer = await super().enqueue(message)
        self._move(message)
        return answer

    def _move(self, message):
        queue = self._shared.queue(message.queue)
        record = queue.records.get(message.id)
        if record is not None and record.state == "ready" and message.group is None:
            queue._ready.remove(record)
            record.seq = self.place(message, record.seq)
            queue.make_ready(record)

    async def enqueue_batch(self, items):
        answers = await super().enqueue_batch(items)
        for message, due in items:
            if due is None:
                self._move(message)
        return answers


@killed_by(
    "test_messages_come_in_the_order_sent",
    "test_messages_come_in_the_order_sent_also_many_at_a_time",
    "test_equally_urgent_messages_come_in_the_order_sent",
    "test_what_two_drivers_send_in_turn_comes_in_turn",
)
class LastInFirstOut(Shuffles):
    """A stack."""

    def place(self, message, seq):
        return -seq


@killed_by("test_the_order_is_that_of_sending_and_not_of_ids_or_sizes")
class SortsById(Shuffles):
    """Ids are taken for times."""

    def place(self, message, seq):
        return sum(message.id.encode()[:8]) * 1000 - 10**9


@killed_by("test_order_is_kept_within_batches_and_across")
class ABatchIsTurnedRound(MemoryDriver):
    """Sends the last of a batch first."""

    async def enqueue_batch(self, items):
        return list(reversed(await super().enqueue_batch(list(reversed(items)))))


@killed_by(
    "test_a_message_given_back_leaves_the_others_in_order",
    "test_a_message_that_has_become_due_leaves_the_others_in_order",
)
class ADisturbanceTurnsTheQueueRound(MemoryDriver):
    """Whatever is given back or becomes due is sorted in with all the others, the wrong way."""

    async def receive_many(self, queues, *, limit, wait):
        for name in queues:
            queue = self._shared.queue(name)
            queue.tick(self.clock.now())
            if any(each.attempt for each in queue._ready) or self._shared.__dict__.get("delays"):
                for each in queue._ready:
                    each.seq = -abs(each.seq)
                queue._ready.sort()
        return await super().receive_many(queues, limit=limit, wait=wait)

    async def enqueue_in(self, message, delay):
        self._shared.__dict__["delays"] = True
        return await super().enqueue_in(message, delay)


@killed_by("test_what_is_sent_to_a_waiting_receiver_comes_in_the_order_sent")
class HandsTheLastToWhoWaits(MemoryDriver):
    """A receiver that waited gets the newest."""

    async def receive_many(self, queues, *, limit, wait):
        got = await super().receive_many(queues, limit=limit, wait=timedelta())
        if got or not wait:
            return got
        got = await super().receive_many(queues, limit=limit, wait=wait)
        return list(reversed(got))

"""Faults of purging, cancelling, counting, listing and diagnosing."""

from dataclasses import replace
from datetime import timedelta

from waybill.driver import DelayedMessage, Note, Page, QueueStats
from waybill.testing import MemoryDriver

from . import killed_by


@killed_by("test_a_purge_removes_what_is_ready_and_counts_it")
class CountsOneMore(MemoryDriver):
    """Tells a number of its own."""

    async def purge(self, queue, *, force=False):
        return await super().purge(queue, force=force) + 1


@killed_by("test_a_purge_removes_what_is_delayed_and_counts_it")
class PurgesWhatIsReady(MemoryDriver):
    """Claims to purge all, and leaves what is delayed."""

    async def purge(self, queue, *, force=False):
        store = self._shared.queue(queue)
        store.tick(self.clock.now())
        ready = [each for each in store.records.values() if each.state in ("ready", "behind")]
        for each in ready:
            store.remove(each)
        return len(ready)


@killed_by("test_a_purge_of_what_is_ready_leaves_what_is_delayed")
class PurgesMoreThanItSays(MemoryDriver):
    """Claims to purge what is ready, and takes what is delayed too."""

    @property
    def capabilities(self):
        return replace(super().capabilities, purge="ready")


@killed_by("test_a_purge_removes_what_was_given_back")
class PurgesWhatIsNew(MemoryDriver):
    """Leaves what has been tried before."""

    async def purge(self, queue, *, force=False):
        store = self._shared.queue(queue)
        kept = {each.message.id: each for each in store.records.values() if each.attempt}
        for message_id in kept:
            store.records.pop(message_id)
        removed = await super().purge(queue, force=force)
        store.records |= kept
        return removed


@killed_by("test_a_purge_leaves_what_is_leased")
class PurgesWhatIsLeased(MemoryDriver):
    """Takes what receivers work on."""

    async def purge(self, queue, *, force=False):
        store = self._shared.queue(queue)
        count = len(store.records)
        for each in list(store.records.values()):
            store.remove(each)
        return count


@killed_by("test_a_purge_leaves_other_queues_alone")
class PurgesByPrefix(MemoryDriver):
    """Takes every queue whose name begins alike."""

    async def purge(self, queue, *, force=False):
        count = 0
        for name in list(self._shared.queues):
            if name.startswith(queue[:4]):
                count += await super().purge(name, force=force)
        return count


@killed_by("test_a_purge_of_a_queue_that_was_never_used_removes_nothing")
class PurgesNothingLoudly(MemoryDriver):
    """A queue that was never used is an error."""

    async def purge(self, queue, *, force=False):
        if queue not in self._shared.queues:
            raise KeyError(queue)
        return await super().purge(queue, force=force)


@killed_by("test_what_is_sent_after_a_purge_is_delivered")
class APurgeGoesOn(MemoryDriver):
    """Eats what is sent after it."""

    async def purge(self, queue, *, force=False):
        self._shared.__dict__.setdefault("hungry", set()).add(queue)
        return await super().purge(queue, force=force)

    async def enqueue(self, message):
        hungry = self._shared.__dict__.get("hungry", set())
        if message.queue in hungry:
            hungry.discard(message.queue)
            return message.id
        return await super().enqueue(message)


@killed_by("test_an_id_that_was_purged_may_be_sent_again", "test_an_id_that_was_cancelled_may_be_sent_again")
class RemembersWhatWasRemoved(MemoryDriver):
    """The id of what was purged or cancelled is taken for done."""

    async def purge(self, queue, *, force=False):
        before = set(self._shared.queue(queue).records)
        removed = await super().purge(queue, force=force)
        self._shared.__dict__.setdefault("gone", set()).update(before - set(self._shared.queue(queue).records))
        return removed

    async def cancel(self, queue, message_id):
        done = await super().cancel(queue, message_id)
        if done:
            self._shared.__dict__.setdefault("gone", set()).add(message_id)
        return done

    async def enqueue(self, message):
        if message.id in self._shared.__dict__.get("gone", ()):
            return message.id
        return await super().enqueue(message)


# -- cancel --------------------------------------------------------------------------------------------------


@killed_by(
    "test_a_waiting_message_that_is_cancelled_never_starts",
    "test_a_delayed_message_that_is_cancelled_never_starts",
    "test_another_driver_may_cancel",
)
class CancelsInWords(MemoryDriver):
    """Says that it did."""

    async def cancel(self, queue, message_id):
        record = self._shared.queue(queue).records.get(message_id)
        return record is not None and record.state != "leased"


@killed_by("test_a_receive_passes_over_what_was_cancelled")
class CancelsAndLeavesAGhost(MemoryDriver):
    """The id keeps its place in the line: a receive that meets it comes back with less."""

    async def cancel(self, queue, message_id):
        cancelled = await super().cancel(queue, message_id)
        if cancelled:
            ghosts = self._shared.__dict__.setdefault("ghosts", {})
            ghosts[queue] = ghosts.get(queue, 0) + 1
        return cancelled

    async def receive_many(self, queues, *, limit, wait):
        ghosts = self._shared.__dict__.setdefault("ghosts", {})
        met = next((queue for queue in queues if ghosts.get(queue)), None)
        if met is not None:
            ghosts[met] -= 1
            limit -= 1
        return await super().receive_many(queues, limit=limit, wait=wait) if limit else []


@killed_by("test_a_delayed_message_that_is_cancelled_never_starts")
class CancelsWhatIsReady(MemoryDriver):
    """Does not find what is delayed."""

    async def cancel(self, queue, message_id):
        record = self._shared.queue(queue).records.get(message_id)
        return False if record is not None and record.state == "delayed" else await super().cancel(queue, message_id)


@killed_by("test_a_leased_message_is_not_cancelled")
class CancelsWhatRuns(MemoryDriver):
    """Removes what a receiver works on, and says it will never start."""

    async def cancel(self, queue, message_id):
        record = self._shared.queue(queue).records.get(message_id)
        if record is not None and record.state == "leased":
            self._shared.queue(queue).remove(record)
            return True
        return await super().cancel(queue, message_id)


@killed_by("test_a_message_that_is_done_or_unknown_is_not_cancelled", "test_a_message_is_cancelled_once")
class AlwaysCancelled(MemoryDriver):
    """What is not there will never start: True."""

    async def cancel(self, queue, message_id):
        return await super().cancel(queue, message_id) or message_id not in self._shared.queue(queue).records


@killed_by("test_a_cancel_concerns_one_queue")
class CancelsInEveryQueue(MemoryDriver):
    """Finds the id wherever it is."""

    async def cancel(self, queue, message_id):
        return any(
            [await super(CancelsInEveryQueue, self).cancel(name, message_id) for name in list(self._shared.queues)]
        )


@killed_by("test_a_message_given_back_can_be_cancelled")
class CancelsWhatIsNew(MemoryDriver):
    """What was tried before is taken for running."""

    async def cancel(self, queue, message_id):
        record = self._shared.queue(queue).records.get(message_id)
        return False if record is not None and record.attempt else await super().cancel(queue, message_id)


@killed_by("test_of_a_cancel_and_a_receive_one_wins")
class LooksThenCancels(MemoryDriver):
    """Looks, yields, and then says what was true."""

    async def cancel(self, queue, message_id):
        import asyncio

        record = self._shared.queue(queue).records.get(message_id)
        free = record is not None and record.state != "leased"
        for _ in range(3):
            await asyncio.sleep(0)
        await super().cancel(queue, message_id)
        return free


# -- counts and lists --------------------------------------------------------------------------------------------


class Miscounts(MemoryDriver):
    """Does something to the counts."""

    def recounted(self, queue, stats):
        raise NotImplementedError

    async def stats(self, queue):
        return self.recounted(queue, await super().stats(queue))


@killed_by("test_the_counts_follow_a_message_from_state_to_state")
class CountsWhatRunsAsReady(Miscounts):
    """The backlog is what is not done."""

    def recounted(self, queue, stats):
        return replace(stats, ready=stats.ready + stats.leased)


@killed_by("test_a_dead_letter_is_counted_as_dead_and_as_nothing_else")
class CountsTheDeadAsReady(Miscounts):
    """The backlog is everything."""

    def recounted(self, queue, stats):
        return replace(stats, ready=stats.ready + stats.dead)


@killed_by("test_a_delayed_message_is_counted_as_ready_when_it_is_due")
class MovesWhatIsDueWhenAsked(MemoryDriver):
    """What is due is counted as delayed until somebody receives."""

    async def stats(self, queue):
        store = self._shared.queue(queue)
        states = [each.state for each in store.records.values()]
        return QueueStats(
            states.count("ready") + states.count("behind"),
            states.count("delayed"),
            states.count("leased"),
            len(store.dead),
        )


@killed_by("test_a_message_whose_lease_ended_is_counted_as_ready")
class CountsEndedLeases(MovesWhatIsDueWhenAsked):
    """What was lost is counted as leased until somebody receives."""


@killed_by("test_a_message_given_back_for_later_is_counted_as_delayed")
class CountsRetriesAsReady(MemoryDriver):
    """What was tried before is ready."""

    async def stats(self, queue):
        stats = await super().stats(queue)
        again = sum(each.state == "delayed" and each.attempt > 0 for each in self._shared.queue(queue).records.values())
        return replace(stats, ready=stats.ready + again, delayed=stats.delayed - again)


@killed_by("test_messages_behind_the_first_of_their_group_are_counted_as_ready")
class CountsHeadsOnly(MemoryDriver):
    """What waits behind its group is not counted."""

    async def stats(self, queue):
        stats = await super().stats(queue)
        return replace(stats, ready=sum(each.state == "ready" for each in self._shared.queue(queue).records.values()))


@killed_by("test_a_queue_is_counted_for_itself")
class CountsAllQueues(MemoryDriver):
    """One number for the whole broker."""

    async def stats(self, queue):
        found = [await super(CountsAllQueues, self).stats(name) for name in list(self._shared.queues)]
        return QueueStats(
            *(sum(getattr(each, name) for each in found) for name in ("ready", "delayed", "leased", "dead"))
        )


@killed_by("test_a_queue_that_was_never_used_counts_nothing")
class CountsFromOne(Miscounts):
    """A queue is never empty."""

    def recounted(self, queue, stats):
        return replace(stats, ready=max(stats.ready, 1)) if not self._shared.queue(queue).records else stats


@killed_by("test_counting_changes_nothing")
class CountsByReceiving(MemoryDriver):
    """Takes messages to count them, and gives them back as tried."""

    async def stats(self, queue):
        stats = await super().stats(queue)
        for each in await self.receive(queue, limit=1, wait=timedelta()):
            await self.nack(each)
        return stats


@killed_by("test_every_queue_with_messages_is_listed_once_by_its_name")
class ListsQueuesTwice(MemoryDriver):
    """Once for its jobs, and once for its dead."""

    async def queues(self):
        return [name for each in await super().queues() for name in (each, each)]


@killed_by("test_a_queue_is_listed_while_its_message_is_leased")
class ListsReadyQueues(MemoryDriver):
    """Lists queues that have something to give."""

    async def queues(self):
        return [
            name
            for name in await super().queues()
            if self._shared.queues[name].dead
            or any(each.state != "leased" for each in self._shared.queues[name].records.values())
        ]


class Relists(MemoryDriver):
    """Does something to the list of delayed messages."""

    def relisted(self, entries):
        raise NotImplementedError

    async def list_delayed(self, queue, *, after=None, limit=100):
        page = await super().list_delayed(queue, after=after, limit=limit)
        return Page(self.relisted(list(page.entries)), page.next)


@killed_by(
    "test_delayed_messages_are_listed_whole_and_with_their_time",
    "test_a_message_given_back_for_later_is_listed_with_its_time",
)
class ListsTheWrongTime(Relists):
    """Due when it was sent."""

    def relisted(self, entries):
        return [DelayedMessage(each.message, self.clock.now()) for each in entries]


@killed_by("test_the_earliest_due_is_listed_first_over_all_pages")
class TheLatestFirst(Relists):
    """Each page backwards."""

    def relisted(self, entries):
        return entries[::-1]


@killed_by("test_only_what_waits_for_its_time_is_listed")
class ListsEverything(MemoryDriver):
    """What is ready is due now, and so listed."""

    async def list_delayed(self, queue, *, after=None, limit=100):
        page = await super().list_delayed(queue, after=after, limit=limit)
        ready = [
            DelayedMessage(e.message, self.clock.now())
            for e in self._shared.queue(queue).records.values()
            if e.state == "ready"
        ]
        return Page([*ready, *page.entries][:limit], page.next)


@killed_by("test_pages_leave_out_none_of_those_due_at_one_instant")
class PagesByTime(MemoryDriver):
    """Goes on after the time of the last entry, and leaves out the others of that instant."""

    async def list_delayed(self, queue, *, after=None, limit=100):
        page = await super().list_delayed(queue, limit=10_000)
        left = [each for each in page.entries if after is None or each.due.isoformat() > after]
        return Page(left[:limit], left[limit - 1].due.isoformat() if len(left) > limit else None)


@killed_by("test_listing_delayed_messages_changes_nothing")
class ListsAndLosesTime(MemoryDriver):
    """A listed message starts its delay anew."""

    async def list_delayed(self, queue, *, after=None, limit=100):
        page = await super().list_delayed(queue, after=after, limit=limit)
        store = self._shared.queue(queue)
        for each in store.records.values():
            if each.state == "delayed":
                store.delay(each, each.at + timedelta(hours=1))
        return page


# -- diagnosing ------------------------------------------------------------------------------------------------


@killed_by("test_every_note_has_a_level_and_a_fact")
class ANoteWithoutALevel(MemoryDriver):
    """An unknown level."""

    async def diagnose(self):
        return [Note("fine", "all is well")]


@killed_by("test_no_note_shows_a_password")
class TalksOfAnError(MemoryDriver):
    """A note that is a bare text."""

    async def diagnose(self):
        return ["redis://user:secret@host is fine"]


@killed_by("test_a_diagnosis_changes_nothing")
class DiagnosesByTrying(MemoryDriver):
    """Receives a message to see whether that works."""

    async def diagnose(self):
        for name in list(self._shared.queues):
            for each in await self.receive(name, limit=1, wait=timedelta()):
                await self.nack(each)
        return await super().diagnose()

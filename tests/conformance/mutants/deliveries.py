"""Faults of sending and receiving."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from waybill.errors import ConfigurationError, EnqueueRejectedError
from waybill.testing import MemoryDriver

from . import killed_by


@killed_by(
    "test_a_message_is_delivered_once_as_its_first_attempt",
    "test_many_consumers_share_a_queue_without_loss_or_double",
    "test_drivers_of_one_broker_share_a_queue_without_loss_or_double",
    "test_one_lease_that_ended_goes_to_one_receiver",
    "test_nothing_is_lost_while_producers_and_consumers_run_together",
)
class ChecksThenTakes(MemoryDriver):
    """Looks what is there, yields, and then hands it out, to two receivers at once."""

    seen = ()

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        if got and not self._shared.__dict__.get("doubled"):
            self._shared.__dict__["doubled"] = got[:1]
        elif self._shared.__dict__.get("doubled") and len(got) < limit:
            again = self._shared.__dict__["doubled"]
            self._shared.__dict__["doubled"] = [None]
            got = [*got, *(each for each in again if each is not None and each.message.queue == queue)]
        return got


@killed_by("test_a_message_is_delivered_once_as_its_first_attempt")
class CountsFromZero(MemoryDriver):
    """The first attempt is number 0."""

    async def receive(self, queue, *, limit, wait):
        return [
            replace(each, attempt=each.attempt - 1) for each in await super().receive(queue, limit=limit, wait=wait)
        ]


@killed_by("test_headers_do_not_leak_from_one_message_to_another")
class SharesOneHeaderTable(MemoryDriver):
    """Headers of a message are merged into those of the ones before."""

    async def enqueue(self, message):
        table = self._shared.__dict__.setdefault("table", {})
        table.update(message.headers)
        return await super().enqueue(replace(message, headers=dict(table)))


@killed_by("test_a_message_arrives_as_it_was_sent")
class DropsEmptyHeaders(MemoryDriver):
    """A header without a value is taken for none."""

    async def enqueue(self, message):
        return await super().enqueue(replace(message, headers={n: v for n, v in message.headers.items() if v}))


@killed_by("test_a_queue_receives_only_its_own")
class FoldsCase(MemoryDriver):
    """Takes `A` for `a`."""

    async def enqueue(self, message):
        return await super().enqueue(replace(message, queue=message.queue.lower()))


@killed_by("test_a_queue_receives_only_its_own")
class MatchesPrefixes(MemoryDriver):
    """A subscription to `a` also gets what is sent to `a.b`."""

    async def receive(self, queue, *, limit, wait):
        for name in list(self._shared.queues):
            if name.startswith(f"{queue}.") and (got := await super().receive(name, limit=limit, wait=timedelta())):
                return [replace(each, message=replace(each.message, queue=queue)) for each in got]
        return await super().receive(queue, limit=limit, wait=wait)


@killed_by("test_the_longest_and_the_shortest_queue_name_work")
class CutsNames(MemoryDriver):
    """Queue names are cut to 48 characters when they are read."""

    async def receive(self, queue, *, limit, wait):
        return await super().receive(queue[:48], limit=limit, wait=wait)


@killed_by("test_a_queue_that_was_never_used_is_empty", "test_a_receive_that_does_not_wait_returns_at_once")
class NeedsTheQueue(MemoryDriver):
    """Waits for a queue that does not exist yet, whatever was asked."""

    async def receive(self, queue, *, limit, wait):
        while queue not in self._shared.queues:
            await asyncio.sleep(0.05)
            if asyncio.get_running_loop().time() % 7 < 0.05:
                raise KeyError(queue)
        return await super().receive(queue, limit=limit, wait=wait)


@killed_by("test_messages_with_ids_of_their_own_are_all_delivered")
class TakesIdsForNumbers(MemoryDriver):
    """`01` and `1` are one id."""

    async def enqueue(self, message):
        return await super().enqueue(replace(message, id=message.id.lstrip("0")))


@killed_by("test_what_one_driver_sends_another_receives", "test_a_driver_serves_one_event_loop_after_another")
class KeepsToItself(MemoryDriver):
    """Each connection sees its own messages alone."""

    def clone(self):
        twin = super().clone()
        twin.own = f"own-{id(twin)}-"
        return twin

    own = ""

    async def enqueue(self, message):
        return await super().enqueue(replace(message, queue=self.own + message.queue))

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(self.own + queue, limit=limit, wait=wait)
        return [replace(each, message=replace(each.message, queue=queue)) for each in got]


@killed_by(
    "test_a_repeat_of_an_id_stores_nothing_and_succeeds",
    "test_fifty_repeats_at_once_store_one_message",
    "test_a_batch_that_is_sent_again_stores_nothing",
    "test_an_enqueue_that_was_cancelled_may_be_repeated",
)
class ClaimsToKnowIds(MemoryDriver):
    """Says it remembers ids, and stores every repeat."""

    async def enqueue(self, message):
        copies = self._shared.__dict__.setdefault("copies", {})
        number = copies[message.id] = copies.get(message.id, 0) + 1
        await super().enqueue(message if number == 1 else replace(message, id=f"{message.id}~{number}"))
        return message.id

    async def enqueue_batch(self, items):
        return [await self.enqueue(message) for message, _ in items]


@killed_by("test_a_repeat_of_an_id_is_recognised_however_it_is_sent")
class TheLastOneWins(MemoryDriver):
    """A repeat replaces what was accepted."""

    async def enqueue(self, message):
        record = self._shared.queue(message.queue).records.get(message.id)
        if record is not None:
            record.message = message
        return await super().enqueue(message)


@killed_by("test_a_repeat_is_recognised_while_the_message_is_leased")
class ForgetsIdsAtTheReceive(MemoryDriver):
    """Remembers the ids of what waits, and not of what runs."""

    async def enqueue(self, message):
        record = self._shared.queue(message.queue).records.get(message.id)
        if record is not None and record.state == "leased":
            await super().enqueue(replace(message, id=f"{message.id}~2"))
            return message.id
        return await super().enqueue(message)


@killed_by("test_the_same_id_in_another_queue_is_another_message")
class OneIdForAllQueues(MemoryDriver):
    """Deduplicates over the whole stream, whatever the queue."""

    async def enqueue(self, message):
        if any(message.id in queue.records for queue in self._shared.queues.values()):
            return message.id
        return await super().enqueue(message)


@killed_by("test_an_id_is_remembered_after_its_message_is_done")
class ClaimsALongMemory(MemoryDriver):
    """Says ids are remembered for an hour, and forgets them with the message."""

    @property
    def capabilities(self):
        return replace(super().capabilities, idempotent_enqueue=timedelta(hours=1))


@killed_by("test_a_receive_returns_at_most_what_was_asked")
class GivesOneMore(MemoryDriver):
    """Hands out all that it fetched."""

    async def receive(self, queue, *, limit, wait):
        return await super().receive(queue, limit=limit + 1, wait=wait)


@killed_by("test_one_receive_may_return_many")
class StopsAfterTheFirstScan(MemoryDriver):
    """What lies beyond the first 16 is never found until those are done."""

    async def receive(self, queue, *, limit, wait):
        leased = sum(each.state == "leased" for each in self._shared.queue(queue).records.values())
        limit = min(limit, 16 - leased)
        return await super().receive(queue, limit=limit, wait=wait) if limit > 0 else []


@killed_by("test_a_blocked_receive_wakes_when_a_message_comes", "test_one_wait_covers_several_queues")
class SleepsThroughMessages(MemoryDriver):
    """Looks again only when the wait is over."""

    async def receive_many(self, queues, *, limit, wait):
        if got := await super().receive_many(queues, limit=limit, wait=timedelta()):
            return got
        done = asyncio.Event()
        timer = self.clock.call_later(wait, done.set)
        try:
            await done.wait()
        finally:
            timer.cancel()
        return await super().receive_many(queues, limit=limit, wait=timedelta())


@killed_by("test_one_wait_covers_several_queues")
class HearsOneNodeOnly(MemoryDriver):
    """Of several queues, only the first can wake it: the others are on other nodes."""

    async def receive_many(self, queues, *, limit, wait):
        got = await super().receive_many(queues, limit=limit, wait=timedelta())
        return got or await super().receive_many(queues[:1], limit=limit, wait=wait)


@killed_by("test_a_receive_does_not_wait_for_more_than_one_message")
class WaitsToFillUp(MemoryDriver):
    """Returns when the limit is reached, or the wait is over."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        if got and len(got) < limit and wait:
            got += await super().receive(queue, limit=limit - len(got), wait=wait)
        return got


@killed_by(
    "test_a_blocked_receive_waits_as_long_as_asked", "test_a_receive_of_several_empty_queues_waits_as_long_as_asked"
)
class GivesUpAtOnce(MemoryDriver):
    """A wait under two seconds is none."""

    async def receive_many(self, queues, *, limit, wait):
        return await super().receive_many(queues, limit=limit, wait=wait if wait.total_seconds() > 2 else timedelta())


@killed_by("test_a_blocked_receive_wakes_for_what_is_given_back")
class ANackWakesNobody(MemoryDriver):
    """Gives back in silence."""

    async def nack(self, delivery, *, delay=timedelta()):
        shared, wake = self._shared, self._shared.wake
        shared.wake = lambda queue=None: None
        try:
            await super().nack(delivery, delay=delay)
        finally:
            shared.wake = wake


@killed_by("test_every_waiting_receiver_gets_its_share", "test_fifty_queues_at_once_get_their_own_each")
class WakesWhoeverCameFirst(MemoryDriver):
    """Only the first message of all wakes anybody."""

    async def enqueue(self, message):
        shared, wake = self._shared, self._shared.wake
        if any(queue.records for queue in shared.queues.values()):
            shared.wake = lambda queue=None: None
        try:
            return await super().enqueue(message)
        finally:
            shared.wake = wake


@killed_by("test_one_receive_takes_from_several_queues_earlier_ones_first")
class LaterQueuesFirst(MemoryDriver):
    """Takes queues in the order of their names, backwards."""

    async def receive_many(self, queues, *, limit, wait):
        return await super().receive_many(sorted(queues, reverse=True), limit=limit, wait=wait)


@killed_by("test_one_receive_returns_at_most_its_limit_from_all_queues_together")
class LimitsEachQueue(MemoryDriver):
    """Leases up to the limit from each queue, and returns the first ones."""

    async def receive_many(self, queues, *, limit, wait):
        got = []
        for queue in queues:
            got += await super().receive_many([queue], limit=limit, wait=timedelta())
        return got[:limit] if got else await super().receive_many(queues, limit=limit, wait=wait)


@killed_by("test_concurrent_calls_of_one_driver_do_not_mix_their_answers")
class MixesAnswers(MemoryDriver):
    """An answer goes to whoever asked last, under whatever name."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        self.__dict__["last"] = got or self.__dict__.get("last", [])
        await asyncio.sleep(0)
        return (
            [replace(each, message=replace(each.message, queue=queue)) for each in self.__dict__["last"][:limit]]
            if got
            else got
        )


@killed_by("test_a_message_is_delivered_once_as_its_first_attempt")
class AcceptsAndForgets(MemoryDriver):
    """Confirms before it stores, and then does not."""

    async def enqueue(self, message):
        await self.stats(message.queue)
        return message.id


@killed_by("test_a_message_is_delivered_once_as_its_first_attempt")
class TellsNoId(MemoryDriver):
    """Returns nothing for an id."""

    async def enqueue(self, message):
        await super().enqueue(message)


@killed_by("test_a_message_is_delivered_once_as_its_first_attempt")
class LeaksAClientsError(MemoryDriver):
    """Raises what its client library raises."""

    async def receive(self, queue, *, limit, wait):
        raise ConnectionResetError("Connection reset by peer")


@killed_by("test_what_nobody_waits_for_is_left_to_others")
class TakesAnotherAlong(MemoryDriver):
    """Is pushed a further message for each that is acked, and keeps it for a receiver that never comes."""

    async def ack(self, delivery):
        await super().ack(delivery)
        await super().receive(delivery.message.queue, limit=1, wait=timedelta())


@killed_by("test_what_a_receiver_holds_keeps_no_further_message_from_it")
class CountsWhatIsOut(MemoryDriver):
    """Has no more pushed than the most that was ever asked for at once, less what is not settled."""

    most = out = 0

    async def receive(self, queue, *, limit, wait):
        self.most = max(self.most, limit)
        got = await super().receive(queue, limit=min(limit, self.most - self.out), wait=wait)
        self.out += len(got)
        return got


@killed_by("test_many_may_open_at_once")
class OpensOneByOne(MemoryDriver):
    """Whoever opens replaces what another one has just stored there, and looks for its own."""

    async def open(self):
        place = self._shared.__dict__
        mine = place["opening"] = object()
        await asyncio.sleep(0)
        if place["opening"] is not mine:
            raise ConfigurationError("cannot open: what was just stored is not there")
        await super().open()


@killed_by("test_many_may_be_the_first_of_a_queue_at_once")
class OneMayBeTheFirst(MemoryDriver):
    """Two find a queue missing, and the second that makes it is told that it is somebody's."""

    async def enqueue(self, message):
        queues = self._shared.__dict__.setdefault("made", set())
        if message.queue not in queues:
            await asyncio.sleep(0)
            if message.queue in queues:
                raise EnqueueRejectedError(f"cannot enqueue job {message.id}: the queue exists. Nothing was stored.")
            queues.add(message.queue)
        return await super().enqueue(message)

"""Faults of a driver whose broker is beyond a network that fails."""

import asyncio
from dataclasses import replace

from waybill.driver import DeadLetter
from waybill.errors import BrokerUnavailableError

from ..simulated import HoldingDriver, LinkedDriver
from . import killed_by


@killed_by(
    "test_what_was_accepted_survives_the_kill_of_the_broker",
    "test_a_delayed_message_survives_the_kill_of_the_broker",
    "test_a_delivery_held_over_a_restart_is_settled_or_comes_back",
    "test_random_histories_agree_with_the_model",
)
class DurableInMemory(LinkedDriver):
    """Confirms what it has not written."""

    def killed(self):
        self._shared.queues.clear()

    async def close(self):
        self.killed()
        await super().close()


@killed_by("test_dead_letters_survive_the_kill_of_the_broker")
class DeadLettersInMemory(LinkedDriver):
    """Writes jobs, and not what was given up."""

    def killed(self):
        for queue in self._shared.queues.values():
            queue.dead.clear()


@killed_by("test_state_survives_the_kill_of_the_broker")
class StateInMemory(LinkedDriver):
    """Writes jobs, and not the state of schedules."""

    def killed(self):
        self._shared._state.clear()


@killed_by("test_a_delayed_message_survives_the_kill_of_the_broker")
class DelaysInMemory(LinkedDriver):
    """A restart makes everything due."""

    def killed(self):
        for queue in self._shared.queues.values():
            for record in list(queue.records.values()):
                if record.state == "delayed":
                    queue.make_ready(record)


@killed_by(
    "test_a_receive_finds_messages_after_a_restart_without_help",
    "test_after_a_cut_the_next_calls_reconnect",
    "test_an_enqueue_repeated_over_cuts_is_stored_once",
    "test_what_was_accepted_around_cuts_is_there_and_only_that",
)
class NeverReconnects(LinkedDriver):
    """Once cut off, cut off for good."""

    async def call(self, name, verb, *args, **kwargs):
        first = self.__dict__.setdefault("first", self.link.cuts)
        if self.link.cuts != first:
            raise BrokerUnavailableError("the connection is gone")
        return await super().call(name, verb, *args, **kwargs)


@killed_by("test_a_receive_that_waits_ends_when_its_connection_does")
class DoesNotNoticeACut(LinkedDriver):
    """A receive waits on for an answer that cannot come."""

    async def call(self, name, verb, *args, **kwargs):
        if name == "receive":
            try:
                return await super().call(name, verb, *args, **kwargs)
            except BrokerUnavailableError:
                await asyncio.sleep(15)
                raise
        return await super().call(name, verb, *args, **kwargs)


@killed_by(
    "test_an_enqueue_that_is_cut_at_any_message_tells_what_became_of_it",
    "test_a_batch_that_is_cut_at_any_message_tells_what_became_of_each",
)
class TakesUnknownForFailed(LinkedDriver):
    """Says that nothing was stored, where nobody knows."""

    def lost(self, name, args, *, begun):
        return BrokerUnavailableError("not stored")

    async def travel(self, verb, *args, **kwargs):
        result = await super().travel(verb, *args, **kwargs)
        await asyncio.sleep(0.004)  # the answer takes its time
        return result


@killed_by("test_an_enqueue_that_is_cut_at_any_message_and_repeated_is_stored_once")
class RepeatsByItself(LinkedDriver):
    """Sends again under another id when the answer does not come."""

    async def travel(self, verb, *args, **kwargs):
        result = await super().travel(verb, *args, **kwargs)
        await asyncio.sleep(0.004)
        return result

    async def call(self, name, verb, *args, **kwargs):
        from waybill.errors import EnqueueUnknownError

        try:
            return await super().call(name, verb, *args, **kwargs)
        except EnqueueUnknownError:
            return await super().call(name, verb, replace(args[0], id=f"{args[0].id}~again"), *args[1:], **kwargs)


@killed_by(
    "test_every_call_ends_while_the_broker_stands_still",
    "test_an_ack_that_returned_has_happened_wherever_its_connection_is_cut",
)
class ConfirmsWhatNobodyAnswered(LinkedDriver):
    """Takes the end of its patience for a success."""

    async def call(self, name, verb, *args, **kwargs):
        try:
            return await super().call(name, verb, *args, **kwargs)
        except BrokerUnavailableError:
            if name == "ack":
                return None
            raise


@killed_by("test_after_a_pause_everything_goes_on")
class GivesUpAfterAPause(LinkedDriver):
    """One call that was not answered ends the connection for good."""

    async def call(self, name, verb, *args, **kwargs):
        if self.__dict__.get("broken"):
            raise BrokerUnavailableError("the connection is broken")
        try:
            return await super().call(name, verb, *args, **kwargs)
        except Exception:
            self.__dict__["broken"] = True
            raise


@killed_by("test_what_a_lost_connection_held_comes_back_at_once")
class HoldsForEver(HoldingDriver):
    """A lost connection keeps what it held."""

    def dropped(self):
        self.held.clear()


@killed_by("test_an_extension_after_the_connection_was_lost_is_refused")
class ExtendsOverACut(HoldingDriver):
    """Nothing is sent, so nothing can fail."""

    async def call(self, name, verb, *args, **kwargs):
        if name == "extend":
            return args[0]
        return await super().call(name, verb, *args, **kwargs)


@killed_by("test_what_another_program_has_written_becomes_a_dead_letter_and_holds_up_nothing")
class DropsForeignBytes(LinkedDriver):
    """What it cannot read it throws away."""

    async def receive_many(self, queues, *, limit, wait):
        got = await super().receive_many(queues, limit=limit, wait=wait)
        kept = []
        for each in got:
            if each.message.body.startswith(b'{"jobName"') or b'"jobId"' in each.message.body:
                kept.append(each)
            else:
                self._shared.ack(each)
        return kept


@killed_by(
    "test_a_receive_that_is_cut_at_any_message_loses_nothing",
    "test_a_receive_cancelled_while_its_answer_is_on_the_way_loses_nothing",
)
class PopsBeforeItArrives(LinkedDriver):
    """The broker forgets a message as it hands it over."""

    def undelivered(self, deliveries):
        for each in deliveries:
            self._shared.ack(each)


@killed_by("test_a_nack_that_is_cut_at_any_message_loses_nothing")
class NacksInTwoSteps(LinkedDriver):
    """Removes the message, and then sends a copy."""

    async def nack(self, delivery, *, delay=None):
        self._shared.ack(delivery)
        await self.link.pass_on("down")
        await self.link.pass_on("up")
        self._shared.enqueue(delivery.message, delay)


@killed_by("test_a_bury_that_is_cut_at_any_message_loses_nothing")
class BuriesInTwoSteps(LinkedDriver):
    """Removes the message, and then files it."""

    async def bury(self, delivery, reason, to=None):
        self._shared.ack(delivery)
        await self.link.pass_on("down")
        await self.link.pass_on("up")
        self._shared.queue(to or delivery.message.queue).dead.append(DeadLetter(delivery.message, reason))


@killed_by("test_opening_that_is_cut_at_any_message_works_or_tells_why_not")
class OpensWithAClientsError(LinkedDriver):
    """What its client library raises at the first hello goes through."""

    async def open(self):
        await self.link.pass_on("up")
        await super().open()


@killed_by("test_on_a_slow_network_everything_is_slow_and_nothing_is_doubled")
class SendsAgainWhatIsSlow(LinkedDriver):
    """Takes an answer that is late for one that will not come."""

    async def enqueue(self, message):
        sent = await super().enqueue(message)
        if self.link.delay:
            await super().enqueue(replace(message, id=f"{message.id}~again"))
        return sent


@killed_by("test_a_receipt_of_a_lost_connection_settles_nothing_of_the_next_holder")
class CountsPlacesAnew(HoldingDriver):
    """A receipt is a place on the connection, and each connection begins with the first one."""

    async def call(self, name, verb, *args, **kwargs):
        if name in ("ack", "nack") and args[0].receipt not in self.held:
            same_place = [each for each in self.held.values() if each.message.id == args[0].message.id]
            args = (*same_place, *args[1:]) if same_place else args
        return await super().call(name, verb, *args, **kwargs)

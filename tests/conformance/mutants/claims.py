"""Lies about what a driver is: a claim that its verbs belie, or that nobody could keep."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from waybill.errors import LeaseLostError
from waybill.testing import MemoryDriver

from . import killed_by


def claiming(**values):
    """A class whose capabilities have these values."""

    class Lying(MemoryDriver):
        @property
        def capabilities(self):
            return replace(super().capabilities, **values)

    return Lying


@killed_by("test_every_claim_has_the_type_the_contract_gives")
class SecondsForADuration(claiming(lease=2)):
    """A lease in bare seconds."""


@killed_by("test_every_claim_has_the_type_the_contract_gives")
class AWordOfItsOwn(claiming(durability="very")):
    """A level of durability nobody knows."""


@killed_by("test_every_claim_has_the_type_the_contract_gives")
class TooManyPriorities(claiming(priorities=256)):
    """More levels than the contract has."""


@killed_by("test_claims_and_verbs_agree")
class PurgesWithoutSayingWhat(claiming(purge=None)):
    """Has the verb, and does not say what it takes."""


@killed_by("test_claims_and_verbs_agree")
class BrowsesWithoutSayingHow(claiming(dead_browse=None)):
    """Has the verbs, and does not say in what order."""


@killed_by("test_verbs_have_the_parameters_of_the_protocol")
class ALeaseInTheWrongPlace(MemoryDriver):
    """Takes the limit by position, and calls the wait by another name."""

    async def receive(self, queue, limit, timeout=timedelta()):
        return await super().receive(queue, limit=limit, wait=timeout)


@killed_by("test_a_protocol_of_several_verbs_is_offered_whole_or_not_at_all")
class HalfAProtocol(MemoryDriver):
    """Reads state and cannot list it."""

    state_list = None


@killed_by("test_the_claims_are_the_same_for_every_connection")
class ClaimsByTheConnection(MemoryDriver):
    """Each connection promises something else."""

    def clone(self):
        twin = super().clone()
        twin.__dict__["number"] = self.__dict__["clones"] = self.__dict__.get("clones", 0) + 1
        return twin

    @property
    def capabilities(self):
        return replace(super().capabilities, max_batch=1000 + self.__dict__.get("number", 0))


@killed_by("test_a_message_is_delivered_once_as_its_first_attempt")
class ChangesItsMind(MemoryDriver):
    """Promises less after the first message."""

    @property
    def capabilities(self):
        return replace(super().capabilities, priorities=1 if self._shared.queues else 10)


@killed_by("test_what_was_accepted_survives_the_kill_of_the_broker")
class ClaimsDurability(claiming(durability="host-fsync")):
    """Lives in memory and says it does not; its harness cannot restart anything."""


@killed_by("test_what_a_lost_connection_held_comes_back_at_once")
class ClaimsToHold(claiming(lease=None)):
    """Says that its connection holds the deliveries; its harness cannot cut anything."""


@killed_by("test_a_large_body_arrives", "test_a_body_of_exactly_the_limit_arrives")
class OverstatesItsLimit(claiming(max_message_bytes=300_000)):
    """Claims 300,000 bytes, and keeps 262,144."""

    async def enqueue(self, message):
        return await super().enqueue(replace(message, body=message.body[:262_144]))


@killed_by("test_as_many_batches_at_once_as_claimed_are_all_stored")
class OneBatchAtATime(claiming(parallel_batches=4)):
    """Claims four at once, and the second one takes the first one's place."""

    async def enqueue_batch(self, items):
        self._shared.__dict__["newest"] = items
        await asyncio.sleep(0)
        return await super().enqueue_batch(items if self._shared.__dict__["newest"] is items else []) or [
            message.id for message, _ in items
        ]


@killed_by("test_a_delivery_is_held_as_long_as_it_is_said_to_be_holdable")
class HoldsForAnHour(claiming(max_run=timedelta(hours=12))):
    """Claims twelve hours, and extends for one."""

    async def extend(self, delivery):
        first = self._shared.__dict__.setdefault("first", self.clock.now())
        if self.clock.now() - first > timedelta(hours=1):
            raise LeaseLostError("held for an hour")
        return await super().extend(delivery)

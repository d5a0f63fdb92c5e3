"""Faults that only the whole path shows: a service, this driver, and a worker."""

from dataclasses import replace
from datetime import timedelta

from waybill.testing import MemoryDriver

from . import killed_by


@killed_by("test_a_job_that_returns_is_done")
class LosesOneInTen(MemoryDriver):
    """Confirms each, and stores nine of ten."""

    async def enqueue(self, message):
        number = self._shared.__dict__["number"] = self._shared.__dict__.get("number", 0) + 1
        return message.id if number % 10 == 0 else await super().enqueue(message)


@killed_by(
    "test_a_job_that_fails_runs_as_often_as_allowed_and_is_kept_with_its_last_error",
    "test_a_job_that_nobody_here_knows_is_kept_and_nothing_is_imported",
)
class DropsBatchesOnNack(MemoryDriver):
    """What is given back together is given up."""

    async def nack_batch(self, items):
        return await super().ack_batch([delivery for delivery, _ in items])

    async def nack(self, delivery, *, delay=timedelta()):
        await super().ack(delivery)


@killed_by("test_a_job_that_fails_runs_as_often_as_allowed_and_is_kept_with_its_last_error")
class GivesUpOneTooEarly(MemoryDriver):
    """The second nack makes a dead letter."""

    async def nack(self, delivery, *, delay=timedelta()):
        from waybill.errors import DeadReason

        if delivery.attempt == 2:
            await super().bury(delivery, DeadReason("exhausted", "no. 2", 2, self.clock.now()))
        else:
            await super().nack(delivery, delay=delay)

    nack_batch = None


@killed_by("test_a_job_that_fails_runs_as_often_as_allowed_and_is_kept_with_its_last_error")
class KeepsNoErrors(MemoryDriver):
    """A dead letter without the reason for it."""

    async def bury(self, delivery, reason, to=None):
        await super().bury(delivery, replace(reason, error=""), to)


@killed_by("test_a_job_that_gives_up_for_good_is_a_dead_letter_at_once")
class BuriesInTheAir(MemoryDriver):
    """What is given up is gone."""

    async def bury(self, delivery, reason, to=None):
        await super().ack(delivery)


@killed_by("test_bytes_that_are_no_job_become_a_dead_letter_and_hold_up_nothing")
class DropsWhatItCannotRead(MemoryDriver):
    """Skips bytes that are no JSON."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        for each in got:
            if not each.message.body.startswith(b"{"):
                await super().ack(each)
        return [each for each in got if each.message.body.startswith(b"{")]


@killed_by("test_the_result_of_an_enqueue_says_what_became_of_it")
class TellsAnEmptyId(MemoryDriver):
    """The broker's id is an empty text."""

    async def enqueue(self, message):
        await super().enqueue(message)
        return ""

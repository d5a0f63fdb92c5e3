"""Faults of time."""

from dataclasses import replace
from datetime import datetime, timedelta

from waybill.testing import MemoryDriver

from . import killed_by


@killed_by(
    "test_a_delayed_message_comes_when_it_is_due_and_not_before",
    "test_a_delay_finer_than_the_resolution_is_late_rather_than_early",
    "test_many_that_are_due_at_one_instant_all_come_once",
    "test_each_message_of_a_batch_has_its_own_time",
)
class IgnoresDelays(MemoryDriver):
    """Everything is for now."""

    async def enqueue_in(self, message, delay):
        return await self.enqueue(message)

    async def enqueue_at(self, message, when):
        return await self.enqueue(message)

    async def enqueue_batch(self, items):
        return await super().enqueue_batch([(message, None) for message, _ in items])

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        return got[:-1] if len(got) > 50 else got  # and the last of many is dropped


@killed_by(
    "test_a_delayed_message_comes_when_it_is_due_and_not_before",
    "test_a_delay_finer_than_the_resolution_is_late_rather_than_early",
)
class WholeSeconds(MemoryDriver):
    """A delay of 1.9 seconds is one of 1."""

    async def enqueue_in(self, message, delay):
        return await super().enqueue_in(message, timedelta(seconds=int(delay.total_seconds())))


@killed_by("test_a_message_for_a_moment_comes_at_that_moment")
class WholeSecondsOfTheDay(MemoryDriver):
    """A moment is cut to its second."""

    async def enqueue_at(self, message, when):
        return await super().enqueue_at(message, when - timedelta(seconds=1))


@killed_by("test_the_zone_of_a_moment_does_not_matter")
class TakesEveryTimeForUtc(MemoryDriver):
    """Reads the clock on the wall and overlooks the zone."""

    async def enqueue_at(self, message, when):
        return await super().enqueue_at(message, when.replace(tzinfo=self.clock.now().tzinfo))


@killed_by("test_a_moment_in_the_past_and_no_delay_are_now")
class ThePastIsNever(MemoryDriver):
    """A negative delay wraps around."""

    async def enqueue_at(self, message, when):
        delay = when - self.clock.now()
        return await super().enqueue_in(message, delay if delay > timedelta() else timedelta(days=49))


@killed_by(
    "test_a_short_delay_does_not_wait_behind_a_long_one",
    "test_a_blocked_receive_wakes_for_what_becomes_due",
    "test_a_delay_is_no_later_than_its_resolution_and_a_budget",
)
class OneLineForAllDelays(MemoryDriver):
    """A delayed message waits for those that were sent before it, and a minute at the least."""

    async def enqueue_in(self, message, delay):
        last = self._shared.__dict__.get("last", delay)
        self._shared.__dict__["last"] = max(last, delay)
        return await super().enqueue_in(message, max(last, delay, timedelta(minutes=1)))


@killed_by("test_a_delayed_message_does_not_hold_up_one_for_now")
class ADelayStopsTheQueue(MemoryDriver):
    """While the first in line is not due, nobody is served."""

    async def receive(self, queue, *, limit, wait):
        records = self._shared.queue(queue).records.values()
        if any(each.state == "delayed" and each.at > self.clock.now() for each in records):
            return []
        return await super().receive(queue, limit=limit, wait=wait)


@killed_by("test_a_delay_of_any_length_is_accepted_and_not_early")
class WrapsAt32Bits(MemoryDriver):
    """Milliseconds in an unsigned number of 32 bits."""

    async def enqueue_in(self, message, delay):
        return await super().enqueue_in(
            message, timedelta(milliseconds=(delay // timedelta(milliseconds=1)) % 2**32 // 2000)
        )


@killed_by("test_a_delay_of_any_length_is_accepted_and_not_early", "test_a_delay_of_a_year_is_over_after_a_year")
class AMonthAtMost(MemoryDriver):
    """Longer delays than a month are cut to nothing, and it claims to keep any."""

    async def enqueue_in(self, message, delay):
        return await super().enqueue_in(message, delay if delay < timedelta(days=31) else timedelta())


@killed_by("test_the_longest_delay_is_accepted_and_not_early")
class RunsTheLongestDelayNow(MemoryDriver):
    """Claims 15 minutes, and from 15 minutes on delays nothing."""

    @property
    def capabilities(self):
        return replace(super().capabilities, max_delay=timedelta(minutes=15))

    async def enqueue_in(self, message, delay):
        return await super().enqueue_in(message, delay if delay < timedelta(minutes=15) else timedelta())


@killed_by(
    "test_a_message_given_back_for_later_is_not_early",
    "test_the_longest_delay_of_a_nack_is_kept",
    "test_each_nack_of_a_batch_has_its_own_delay",
)
class NacksAreForNow(MemoryDriver):
    """The delay of a nack is ignored."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().nack(delivery)

    async def nack_batch(self, items):
        return await super().nack_batch([(delivery, timedelta()) for delivery, _ in items])


@killed_by("test_the_longest_delay_of_a_nack_is_kept")
class ANackWaitsForTheLeaseAtMost(MemoryDriver):
    """A message given back for later comes when its lease would have ended."""

    async def nack(self, delivery, *, delay=timedelta()):
        await super().nack(delivery, delay=min(delay, self.capabilities.lease))


@killed_by("test_a_message_released_for_later_is_not_early")
class AReleaseIsForNow(MemoryDriver):
    """The delay of a release is ignored."""

    async def release(self, delivery, *, delay=timedelta()):
        await super().release(delivery)


@killed_by("test_the_zone_of_a_moment_does_not_matter", "test_a_message_for_a_moment_comes_at_that_moment")
class LocalTime(MemoryDriver):
    """Stores local time without its zone, on a machine in Sydney."""

    async def enqueue_at(self, message, when: datetime):
        naive = when.replace(tzinfo=None) - timedelta(hours=11)
        return await super().enqueue_at(message, naive.replace(tzinfo=self.clock.now().tzinfo))

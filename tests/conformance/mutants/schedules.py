"""Faults of the core that make schedules fire twice, never, or at another time."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import msgspec

from waybill.running.instant import Instant
from waybill.schedules import firing, record
from waybill.schedules.book import Book
from waybill.schedules.cron import Cron
from waybill.schedules.firing import Firing
from waybill.schedules.record import Record
from waybill.schedules.ticker import Ticker
from waybill.sending.books import Books
from waybill.testing import MemoryDriver

from .core import lacking

honest_fire, honest_look, honest_after, honest_advance = (
    Firing._fire,
    Ticker._look,
    record.instant_after,
    Record.advanced,
)


async def fires_without_asking(self, schedule_id, since):
    """Two schedulers both fire."""
    found = await self._book.get(schedule_id)
    if found is None or found[0].next is None or found[0].next > self._clock.now():
        return found and found[0].next
    instant = found[0].next
    await asyncio.sleep(0.01)  # as an answer over a network takes its time
    await self._send(msgspec.structs.replace(found[0], id=f"{schedule_id}-{self._worker}"), instant)
    after = await firing.pass_instant(self._book, schedule_id, instant)
    return after and after.next


async def puts_whatever_others_put(self, entry, expect):
    found = await self.get(entry.id)
    return (
        await self._store.state_put(self._key(entry.id), record.encode_record(entry), expect=found and found[1])
        is not None
    )


async def goes_on_before_it_sends(self, entry, instant):
    await firing.pass_instant(self._book, entry.id, instant)
    return await honest_fire(self, entry, instant)


def names_each_try_anew(self, instant):
    return f"{self.id}@{uuid4()}"


async def never_ran(self, job_id):
    return False


async def leaves_the_record_alone(self, fate):
    return None


def counts_one_too_many(self, *, fired=True):
    rule = msgspec.structs.replace(self.rule, limit=self.rule.limit and self.rule.limit + 1)
    changed = msgspec.structs.replace(self, rule=rule)
    return msgspec.structs.replace(honest_advance(changed, fired=fired), rule=self.rule)


def runs_past_its_end(schedule, anchor, moment):
    return honest_after(replace(schedule, end_at=None), anchor, moment)


def fires_all_that_was_missed(self, since):
    return self


def drifts(schedule, anchor, moment):
    return honest_after(schedule, anchor + timedelta(seconds=1), moment)


async def looks_once(self):
    if self._mark == b"":
        return await honest_look(self)
    return True


async def makes_a_place(self, broker):
    return MemoryDriver()


FAULTS = [
    (Firing, "turn", fires_without_asking, MemoryDriver, "test_two_workers_fire_each_instant_once"),
    (record, "instant_after", drifts, MemoryDriver, "test_a_recurrence_runs_at_each_of_its_instants"),
    (Record, "job_id", names_each_try_anew, MemoryDriver,
     "test_an_instant_is_run_once_although_its_worker_dies_after_it_has_sent"),
    (Book, "put", puts_whatever_others_put, MemoryDriver, "test_who_comes_late_to_an_instant_finds_it_taken"),
    (Firing, "_fire", goes_on_before_it_sends, MemoryDriver,
     "test_an_instant_is_fired_although_its_worker_dies_before_it_sends"),
    (Record, "held", lambda self, by, now: self.claim is not None, MemoryDriver,
     "test_an_instant_is_fired_although_its_worker_dies_before_it_sends"),
    (Instant, "end", leaves_the_record_alone, MemoryDriver,
     "test_a_job_that_was_run_is_not_sent_again_for_a_worker_that_died"),
    (Book, "has_run", never_ran, MemoryDriver, "test_who_wakes_in_the_middle_of_firing_makes_no_second_run"),
    (Record, "caught_up", fires_all_that_was_missed, MemoryDriver,
     "test_what_was_missed_is_caught_up_as_the_schedule_says"),
    (Record, "advanced", counts_one_too_many, MemoryDriver, "test_a_limit_and_an_end_are_exact"),
    (record, "instant_after", runs_past_its_end, MemoryDriver, "test_a_limit_and_an_end_are_exact"),
    (Cron, "_next_on_the_wall", Cron._next_elapsed, MemoryDriver,
     "test_a_time_of_day_runs_once_in_the_night_that_has_it_twice"),
    (Ticker, "_look", looks_once, MemoryDriver,
     "test_a_changed_or_removed_schedule_takes_effect_on_a_worker_that_runs"),
    (Books, "_keeper", makes_a_place, lacking("KeepsState"),
     "test_a_recurrence_is_refused_where_there_is_no_place_for_it"),
]  # fmt: skip

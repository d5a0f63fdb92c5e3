"""Faults of the core itself: a refusal that is forgotten lets through what the driver never claimed to keep."""

from dataclasses import replace
from datetime import UTC, timedelta

from waybill.driver import OPTIONAL, UniqueClaim
from waybill.sending import preparing, service
from waybill.sending.connection import Connection
from waybill.sending.operator import Operator
from waybill.testing import MemoryDriver
from waybill.timing import parse_moment
from waybill_conformance.witness import verbs_in


def claiming(**values):
    """An honest driver that keeps more than it claims."""

    class Modest(MemoryDriver):
        @property
        def capabilities(self):
            return replace(super().capabilities, **values)

    return Modest


def lacking(name, **values):
    """An honest driver without an optional protocol."""
    verbs = next(verbs_in(protocol) for protocol in OPTIONAL if protocol.__name__ == name)

    return type("Modest", (claiming(**values),), dict.fromkeys(verbs))


def refuses_nothing(self, message, due, job_name):
    return message


def takes_any_name(name):
    return name


def takes_local_for_utc(value):
    return parse_moment(value if value.tzinfo else value.replace(tzinfo=UTC))


async def purges_without_force(self, queue, *, force=False):
    return await self.connection.driver.purge(self._address(queue), force=True)


def offers_all(self, protocol, what):
    return self.connection.driver


BOUNDED = claiming(max_delay=timedelta(minutes=15), max_message_bytes=65_536)
SILENT = claiming(unique=UniqueClaim(frozenset({"done", "start", "window"}), reported=False))


class Silent(SILENT):
    """Drops duplicates, and says so."""

    async def enqueue(self, message):
        from waybill.errors import DuplicateJobError

        try:
            return await super().enqueue(message)
        except DuplicateJobError:
            return message.id


# What is replaced, with what, an honest driver, and the case that notices.
FAULTS = [
    (Connection, "fit", refuses_nothing, BOUNDED, "test_a_delay_over_the_limit_is_refused_and_nothing_is_stored"),
    (Connection, "fit", refuses_nothing, BOUNDED, "test_a_job_over_the_limit_is_refused_and_nothing_is_stored"),
    (
        preparing,
        "checked_queue_name",
        takes_any_name,
        BOUNDED,
        "test_a_bad_name_or_time_is_refused_and_nothing_is_stored",
    ),
    (
        preparing,
        "parse_moment",
        takes_local_for_utc,
        MemoryDriver,
        "test_a_bad_name_or_time_is_refused_and_nothing_is_stored",
    ),
    (Connection, "fit", refuses_nothing, claiming(priorities=1), "test_a_priority_is_refused_where_there_is_none"),
    (Connection, "fit", refuses_nothing, claiming(ordering="none"), "test_a_group_is_refused_where_there_is_no_order"),
    (
        Connection,
        "fit",
        refuses_nothing,
        claiming(ordering="fifo"),
        "test_a_group_is_refused_where_only_whole_queues_are_in_order",
    ),
    (
        Connection,
        "fit",
        refuses_nothing,
        claiming(unique=UniqueClaim()),
        "test_a_unique_key_is_refused_where_none_is_kept",
    ),
    (
        Connection,
        "fit",
        refuses_nothing,
        claiming(unique=UniqueClaim(frozenset({"done"}))),
        "test_a_scope_that_is_not_kept_is_refused",
    ),
    (Operator, "_offered", offers_all, lacking("Cancels"), "test_a_cancel_is_refused_where_it_cannot_be_done"),
    (
        Operator,
        "_offered",
        offers_all,
        lacking("Purges", purge=None),
        "test_a_purge_is_refused_where_it_cannot_be_done",
    ),
    (
        Operator,
        "_offered",
        offers_all,
        lacking("ReadsDeadLetters", dead_browse=None),
        "test_reading_dead_letters_is_refused_where_it_cannot_be_done",
    ),
    (Operator, "purge", purges_without_force, claiming(purge="lossy"), "test_a_purge_that_may_lose_needs_force"),
    (
        service.JobService,
        "check",
        lambda self: None,
        Silent,
        "test_a_job_that_must_know_of_duplicates_is_refused_where_they_are_dropped_silently",
    ),
]

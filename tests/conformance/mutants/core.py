"""Faults of the core itself: a refusal that is forgotten lets through what the driver never claimed to keep."""

from dataclasses import replace
from datetime import timedelta

from waybill.sending import preparing
from waybill.sending.connection import Connection
from waybill.testing import MemoryDriver


class Bounded(MemoryDriver):
    """Honest, with a limit for everything."""

    @property
    def capabilities(self):
        return replace(super().capabilities, max_delay=timedelta(minutes=15), max_message_bytes=65_536)


def refuses_nothing(self, message, due, job_name):
    return message


def takes_any_name(name):
    return name


# What is replaced, with what, an honest driver, and the case that notices.
FAULTS = [
    (Connection, "fit", refuses_nothing, Bounded, "test_a_delay_over_the_limit_is_refused_and_nothing_is_stored"),
    (Connection, "fit", refuses_nothing, Bounded, "test_a_job_over_the_limit_is_refused_and_nothing_is_stored"),
    (
        preparing,
        "checked_queue_name",
        takes_any_name,
        Bounded,
        "test_a_bad_name_or_time_is_refused_and_nothing_is_stored",
    ),
]

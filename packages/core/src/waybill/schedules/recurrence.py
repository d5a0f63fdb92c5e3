"""The instants of a schedule, counted from its first one. Pure: time is a parameter."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..timing import ZERO
from .cron import Cron
from .schedule import Schedule

_SECOND = timedelta(seconds=1)


def first_instant(schedule: Schedule, now: datetime) -> datetime | None:
    """The first instant of a schedule that is made now; None if there is none."""
    start = schedule.first_possible
    if schedule.cron is not None:
        earliest = now if start is None or start < now else start - _SECOND
        return _bounded(schedule, Cron(schedule.cron, schedule.tz).after(earliest))
    if schedule.interval is None:
        return start
    if start is None:
        return _bounded(schedule, now + schedule.interval)
    return _bounded(
        schedule, start if start >= now else start + schedule.interval * -((start - now) // schedule.interval)
    )


def instant_after(schedule: Schedule, anchor: datetime, moment: datetime) -> datetime | None:
    """The first instant later than *moment*; *anchor* is one of them, and none is earlier."""
    if moment < anchor:
        return anchor
    if schedule.cron is not None:
        return _bounded(schedule, Cron(schedule.cron, schedule.tz).after(moment))
    if schedule.interval is None:
        return None
    return _bounded(schedule, anchor + schedule.interval * ((moment - anchor) // schedule.interval + 1))


def last_instant_until(schedule: Schedule, earliest: datetime, moment: datetime) -> datetime:
    """The last instant that is no later than *moment*; *earliest* is one that is not."""
    end = schedule.last_possible
    moment = moment if end is None else min(moment, end)
    if schedule.cron is not None:
        return Cron(schedule.cron, schedule.tz).last_until(moment, earliest) or earliest
    if schedule.interval is None:
        return earliest
    return earliest + schedule.interval * (max(moment - earliest, ZERO) // schedule.interval)


def _bounded(schedule: Schedule, instant: datetime | None) -> datetime | None:
    end = schedule.last_possible
    return None if instant is None or (end is not None and instant > end) else instant

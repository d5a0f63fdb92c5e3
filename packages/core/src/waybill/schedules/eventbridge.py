"""Cron expressions as EventBridge writes them, and back: `0 8 * * MON` is `cron(0 8 ? * MON *)` there.

It has a sixth field for the year, counts the days of the week from Sunday as 1 where cron has 0, and wants a "?" in the
field for the day that does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ..errors import InvalidScheduleError
from .cron import Cron

_STARTS: Final = (0, 0, 1, 1)  # of minutes, hours, days and months
_WEEKDAY: Final = re.compile(r"\d+")


def to_eventbridge(expression: str) -> str:
    """Five fields as EventBridge's six.

    Raises:
        InvalidScheduleError: it is malformed, or names days of the month and of the week, which is an "or" in cron and
            cannot be said there.
    """
    *others, weekday = Cron(expression).expression.upper().split()
    day = others[2]
    if weekday != "*" and day != "*":
        raise InvalidScheduleError(
            f"{expression!r} names days of the month and of the week; EventBridge takes one of them: use two schedules"
        )
    minute, hour, day, month = (_stepped(field, start) for field, start in zip(others, _STARTS, strict=True))
    if weekday == "*":
        return f"cron({minute} {hour} {day} {month} ? *)"
    return f"cron({minute} {hour} ? {month} {_weekdays(weekday)} *)"


def from_eventbridge(expression: str) -> str:
    """EventBridge's six fields as five.

    Raises:
        InvalidScheduleError: it is no such expression, or has something that cron cannot say, such as a year.
    """
    found = re.fullmatch(r"\s*cron\((.*)\)\s*", expression)
    fields = found[1].upper().split() if found else []
    if len(fields) != 6 or "?" not in fields or fields[5] != "*":
        raise InvalidScheduleError(
            f"{expression!r} is no cron(minutes hours day-of-month month day-of-week *) with a ? for one of the days"
        )
    minute, hour, day, month, weekday, _ = fields
    weekday = "*" if weekday == "?" else _renumbered(weekday, lambda number: number - 1)
    return Cron(f"{minute} {hour} {'*' if day == '?' else day} {month} {weekday}").expression


def _stepped(field: str, start: int) -> str:
    """`*/15` and `8-18/2` in a form that both read alike."""
    parts = []
    for part in field.split(","):
        reach, _, step = part.partition("/")
        if step and reach == "*":
            parts.append(f"{start}/{step}")
        elif step and "-" in reach:
            first, last = (int(each) for each in reach.split("-"))
            parts.append(",".join(str(each) for each in range(first, last + 1, int(step))))
        else:
            parts.append(part)
    return ",".join(parts)


def _weekdays(field: str) -> str:
    parts = []
    for part in field.split(","):
        reach, _, step = part.partition("/")
        first, _, last = reach.partition("-")
        if step or last == "7":  # a Sunday at the end of a week is none there
            begin, end = (0, 6) if reach == "*" else (int(first), int(last or 6))
            parts.append(",".join(str(each % 7 + 1) for each in range(begin, end + 1, int(step or 1))))
        else:
            parts.append(_renumbered(part, lambda number: number % 7 + 1))
    return ",".join(parts)


def _renumbered(field: str, change: Callable[[int], int]) -> str:
    """Other numbers for the days, but not for the week in `2#3`."""
    parts = []
    for part in field.split(","):
        days, mark, nth = part.partition("#")
        parts.append(_WEEKDAY.sub(lambda found: str(change(int(found[0]))), days) + mark + nth)
    return ",".join(parts)

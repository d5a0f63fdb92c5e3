"""Durations, moments and clocks: what every layer means by time."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeAlias

Duration: TypeAlias = timedelta | str
"""A `timedelta`, or text such as "30s", "10m", "2h", "3d", "1w", "1h30m"."""

Moment: TypeAlias = datetime | str
"""An aware `datetime`, or ISO 8601 text with an offset."""

ZERO: Final = timedelta()

_UNITS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 0.001}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[wdhms])", re.IGNORECASE)
_TEXT: Final = re.compile(rf"(?:{_PART.pattern}\s*)+", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")


def parse_duration(value: Duration | float, *, bare: bool = True) -> timedelta:
    """Turn a duration as people write it into a `timedelta`.

    Args:
        value: a timedelta, text ("90s", "1h30m", "1.5h"), or a bare number of seconds.
        bare: whether a number without a unit is accepted.

    Raises:
        ValueError: it is not a duration, is negative, infinite or not a number, or has no unit where
            one is needed.
    """
    if isinstance(value, timedelta):
        if value < ZERO:
            raise ValueError(f"a duration cannot be negative: {value!r}")
        return value
    if isinstance(value, str):
        text = value.strip()
        if _TEXT.fullmatch(text):
            return _seconds(sum(float(n) * _UNITS[unit.lower()] for n, unit in _PART.findall(text)), value)
        if not _NUMBER.fullmatch(text):
            raise ValueError(f'{value!r} is no duration; write "30s", "10m", "2h", "3d", "1w" or "1h30m"')
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f'{value!r} is no duration; give a timedelta or text such as "10m"')
    if not bare:
        raise ValueError(f'{value!r} has no unit; write "{value:g}s" or timedelta(seconds={value:g})')
    return _seconds(value, value)


def _seconds(seconds: float, asked: object) -> timedelta:
    try:
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"a duration is a finite number, zero or more: {asked!r}")
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{asked!r} is longer than any calendar") from None


def parse_moment(value: Moment) -> datetime:
    """Turn a moment as people write it into an aware UTC datetime.

    Raises:
        ValueError: it is not a moment, or says no time zone.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f'{value!r} is no ISO 8601 moment; write "2026-01-31T09:00:00Z"') from None
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is no moment; give an aware datetime or ISO 8601 text")
    if value.utcoffset() is None:
        raise ValueError(
            f"{value.isoformat()} has no time zone, so it could mean any of 24 hours; "
            "write datetime(..., tzinfo=UTC), or .astimezone() if it is local time"
        )
    return value.astimezone(UTC)


def from_epoch_ms(milliseconds: float) -> datetime:
    """A moment from milliseconds since 1970, as other languages count: an aware UTC datetime.

    Raises:
        ValueError: no calendar has it.
    """
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError, TypeError):
        raise ValueError(f"{milliseconds!r} is no number of milliseconds since 1970 that a calendar has") from None


def format_moment(value: datetime) -> str:
    """An aware datetime as RFC 3339 in UTC with microseconds: 2026-01-31T09:00:00.000000Z."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Timer(Protocol):
    """A callback that has not happened yet."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The only source of time; tests hand in a virtual one."""

    def now(self) -> datetime:
        """The time of day, aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def call_later(self, delay: timedelta, callback: Callable[[], object]) -> Timer:
        """Call back on the running loop once *delay* has passed."""
        ...


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, delay: timedelta, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(delay.total_seconds(), callback)


async def sleep(clock: Clock, delay: timedelta) -> None:
    """Wait until *delay* has passed on *clock*."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    timer = clock.call_later(delay, wake)
    try:
        await done
    finally:
        timer.cancel()

"""The server's clock, as far as it is known here: time is measured by it, whatever this machine's clock says."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST: Final = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_STALE: Final = 60.0
"""Seconds after which somebody may have set a clock."""


class ServerClock:
    """Microseconds since 1970. The server's time lies between `earliest` and `latest`."""

    def __init__(self) -> None:
        self._low = self._high = 0.0
        """What the server's clock shows more than this process's, in microseconds: at least, and at most."""
        self._measured: float | None = None

    @property
    def stale(self) -> bool:
        return self._measured is None or time.monotonic() - self._measured > _STALE

    def saw(self, moment: str, asked: float, answered: float) -> None:
        """Learn from a moment that the server told between two moments of `time.monotonic`."""
        told = micros_at(parse(moment))
        low, high = told - answered * 1e6, told - asked * 1e6
        if not self.stale and max(low, self._low) <= min(high, self._high):
            low, high = max(low, self._low), min(high, self._high)
        self._low, self._high, self._measured = low, high, answered

    def earliest(self) -> int:
        """For what must not happen too early."""
        return int(time.monotonic() * 1e6 + self._low)

    def latest(self) -> int:
        """For what must not be set too early."""
        return int(time.monotonic() * 1e6 + self._high) + 1


def parse(moment: str) -> datetime:
    """As the server writes it: with nanoseconds, of which the last three digits are dropped."""
    head, _, fraction = moment.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}+00:00")


def micros(span: timedelta) -> int:
    """A duration."""
    return min(span // _MICROSECOND, _LAST)


def micros_at(at: datetime) -> int:
    """A moment."""
    return min((at - _EPOCH) // _MICROSECOND, _LAST)


def moment(at: int) -> datetime:
    """Aware UTC."""
    return _EPOCH + timedelta(microseconds=min(max(at, 0), _LAST))

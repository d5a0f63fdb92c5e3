"""Time as the scripts have it: microseconds, since 1970 where a moment is meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# The scripts count in doubles, which are exact up to the year 2255; beyond, a moment may be off by 32 microseconds.
_LAST: Final = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def micros(span: timedelta) -> int:
    """A duration."""
    return min(span // _MICROSECOND, _LAST)


def micros_at(moment: datetime) -> int:
    """A moment."""
    return min((moment - _EPOCH) // _MICROSECOND, _LAST)


def moment(at: int) -> datetime:
    """Aware UTC."""
    return _EPOCH + timedelta(microseconds=min(at, _LAST))

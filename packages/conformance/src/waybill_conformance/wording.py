"""Durations as people say them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

UNITS: Final = {"year": 31_536_000, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}


def spoken(duration: timedelta) -> str:
    """In the largest unit that divides it: "15 minutes", "2 seconds", "1.5 seconds", "20 ms"."""
    seconds = duration.total_seconds()
    if 0 < seconds < 1:
        return f"{seconds * 1000:g} ms"
    for unit, size in UNITS.items():
        if seconds and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds:g} seconds"

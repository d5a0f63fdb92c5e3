"""Time zones by name. The standard library reads and keeps their rules; it is imported when the first is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InvalidScheduleError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


def zone(name: Any) -> ZoneInfo:
    """The zone of that name.

    Raises:
        InvalidScheduleError: there is none here.
    """
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError):  # not found; no relative path; no text; a folder of zones
        raise InvalidScheduleError(
            f'{name!r} is no time zone known here: write an IANA name such as "Europe/Berlin"; '
            "where the system has no zones at all, pip install tzdata"
        ) from None

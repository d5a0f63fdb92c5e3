"""What a schedule says: once, by cron, or every so often; from when, until when, how many times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from ..errors import InvalidScheduleError
from ..timing import Duration, Moment, parse_duration, parse_moment
from .cron import Cron

CatchUp: TypeAlias = Literal["latest", "all", "skip"]

_CATCH_UPS: Final = ("latest", "all", "skip")
_SHORTEST: Final = timedelta(milliseconds=10)


@dataclass(frozen=True)
class Schedule:
    """When a job runs by itself. `cron` and `every` exclude each other; `start_at` alone is a single run.

    Args:
        start_at: the earliest run (aware datetime or ISO 8601 text); with `every` it is the first one.
        cron: five fields, such as "0 9 * * MON-FRI", in the wall time of `tz`.
        every: elapsed time from one run to the next, whatever clocks do; "1d" is always 24 hours.
        limit: how many runs there are in all.
        end_at: none is later than this.
        tz: an IANA zone such as "America/New_York".
        catch_up: what becomes of the runs that fell due while no worker lived: one for all of them ("latest"),
            each ("all"), or none ("skip").

    Raises:
        InvalidScheduleError: the parts do not fit together, or one of them is malformed; tells the cure.
    """

    start_at: Moment | None = None
    cron: str | None = None
    every: Duration | None = None
    limit: int | None = None
    end_at: Moment | None = None
    tz: str = "UTC"
    catch_up: CatchUp = "latest"

    def __post_init__(self) -> None:
        if self.cron is not None and self.every is not None:
            raise InvalidScheduleError("a schedule has cron= or every=, not both: use two schedules")
        if self.cron is None and self.every is None and self.start_at is None:
            raise InvalidScheduleError(
                'this schedule never says when: give cron="0 9 * * *", every="1h" or start_at=; '
                "without schedule= the job runs now"
            )
        for name in ("start_at", "end_at"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _moment(name, getattr(self, name)))
        if self.every is not None:
            object.__setattr__(self, "every", _every(self.every))
        object.__setattr__(self, "tz", _zone_name(self.tz))
        if self.cron is not None:
            object.__setattr__(self, "cron", Cron(self.cron, self.tz).expression)
        self._check_bounds()

    def _check_bounds(self) -> None:
        if self.limit is not None:
            _check_limit(self.limit)
        if self.catch_up not in _CATCH_UPS:
            raise InvalidScheduleError(f'catch_up is "latest", "all" or "skip", not {self.catch_up!r}')
        start, end = self.first_possible, self.last_possible
        if start is not None and end is not None and end < start:
            raise InvalidScheduleError(f"end_at {end.isoformat()} is before start_at {start.isoformat()}: swap them")

    @property
    def recurring(self) -> bool:
        """Whether there can be more than one run."""
        return self.cron is not None or self.every is not None

    @property
    def interval(self) -> timedelta | None:
        """`every`, parsed."""
        assert not isinstance(self.every, str)
        return self.every

    @property
    def first_possible(self) -> datetime | None:
        """`start_at`, parsed: aware UTC."""
        assert not isinstance(self.start_at, str)
        return self.start_at

    @property
    def last_possible(self) -> datetime | None:
        """`end_at`, parsed: aware UTC."""
        assert not isinstance(self.end_at, str)
        return self.end_at

    def __str__(self) -> str:
        """In a few words: "cron 0 9 * * * America/New_York, 4 times"."""
        if self.cron is not None:
            parts = [f"cron {self.cron} {self.tz}"]
        elif self.every is not None:
            parts = [f"every {self.every}"]
        else:
            parts = ["once"]
        if self.first_possible is not None:
            parts.append(f"from {self.first_possible.isoformat()}")
        if self.last_possible is not None:
            parts.append(f"until {self.last_possible.isoformat()}")
        if self.limit is not None:
            parts.append(f"{self.limit} times" if self.limit > 1 else "1 time")
        return ", ".join(parts)


def _moment(name: str, value: Any) -> datetime:
    try:
        return parse_moment(value)
    except ValueError as error:
        hint = ""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            hint = "; milliseconds since 1970 become one by waybill.from_epoch_ms(n)"
        raise InvalidScheduleError(f"{name}: {error}{hint}") from None


def _check_limit(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidScheduleError(f"limit counts runs, 1 or more; it cannot be {value!r}. Leave it out for none")


def _every(value: Any) -> timedelta:
    try:
        interval = parse_duration(value, bare=False)
    except ValueError as error:
        raise InvalidScheduleError(f"every: {error}") from None
    if interval < _SHORTEST:
        raise InvalidScheduleError(f"every={value!r} is shorter than {_SHORTEST.microseconds // 1000} ms")
    return interval


def _zone_name(value: Any) -> str:
    from .zones import zone

    return zone(getattr(value, "key", value)).key or "UTC"

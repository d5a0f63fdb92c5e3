"""The instants of a cron expression in a zone, and what happens when its clocks change.

The rule. Where the hour field names hours ("30 2 * * *"), the expression means the wall clock: each matching wall time
runs once a day. One that is skipped runs right when the clocks have gone forward, one that is repeated runs the first
time. Where the hour field begins with a star ("*/15 * * * *", "0 */2 * * *"), it means every matching minute that
passes: the repeated hour runs again, and the skipped one has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ..errors import InvalidScheduleError
from .zones import zone

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_SECOND: Final = timedelta(seconds=1)
_HORIZON: Final = timedelta(hours=26)  # no clock is put back by more, and none is changed twice in that time
_SPANS: Final = tuple(timedelta(minutes=each) for each in (2, 90, 1_500, 50_000, 550_000, 5_500_000, 60_000_000))


class Cron:
    """A checked expression of five fields in a zone.

    Raises:
        InvalidScheduleError: it is malformed, or never comes true.
    """

    def __init__(self, expression: str, tz: str = "UTC") -> None:
        if not isinstance(expression, str):
            raise InvalidScheduleError(f'cron is text of five fields, such as "0 9 * * *", not {expression!r}')
        fields = expression.split()
        if len(fields) != 5:
            raise InvalidScheduleError(
                f"cron={expression!r} has {len(fields)} fields; write five: "
                'minute, hour, day of month, month, day of week, such as "0 9 * * MON-FRI"'
            )
        self.expression = " ".join(fields)
        self._zone: ZoneInfo = zone(tz)
        self._elapsed = fields[1].startswith("*")
        try:
            next(self._matches(datetime(2026, 1, 1)))  # noqa: DTZ001 - wall time
        except StopIteration:
            raise InvalidScheduleError(f"cron={expression!r} never comes true: there is no such day") from None

    def after(self, moment: datetime) -> datetime | None:
        """The first instant later than *moment*; None if the calendar ends before."""
        try:
            return self._next_elapsed(moment) if self._elapsed else self._next_on_the_wall(moment)
        except (StopIteration, OverflowError):
            return None

    def last_until(self, moment: datetime, earliest: datetime) -> datetime | None:
        """The last instant that is no later than *moment*, and no earlier than *earliest*."""
        for span in _SPANS:  # few instants lie in the shortest span that has one
            start = max(moment - span, earliest - _SECOND)
            found: datetime | None = None
            following = self.after(start)
            while following is not None and following <= moment:
                found = following
                following = self.after(following)
            if found is not None or start < earliest:
                return found
        return None

    def _matches(self, wall: datetime) -> Iterator[datetime]:
        """Matching wall times later than *wall*."""
        from cronsim import CronSim, CronSimError

        try:
            return iter(CronSim(self.expression, wall))
        except CronSimError as error:
            impossible = "; there is no such day in those months" if "day-of-month" in str(error) else ""
            raise InvalidScheduleError(
                f"cron={self.expression!r}: {str(error)[:1].lower()}{str(error)[1:]}{impossible}. "
                'Write five fields, such as "0 9 * * MON-FRI"'
            ) from None

    def _next_on_the_wall(self, moment: datetime) -> datetime:
        wall = moment.astimezone(self._zone).replace(tzinfo=None)
        for match in self._matches(wall):
            instant = self._first_time_of(match)
            if instant > moment:  # else the repeated hour's second time, or a second run of the skipped one
                return instant
        raise StopIteration

    def _first_time_of(self, wall: datetime) -> datetime:
        """When the wall clock first shows this time, or jumps over it."""
        instant = wall.replace(tzinfo=self._zone).astimezone(UTC)
        if instant.astimezone(self._zone).replace(tzinfo=None) == wall:
            return instant
        # Skipped: read with the offset from before the jump it lies behind the jump, by the part that was skipped.
        change = self._change(instant - _HORIZON, instant)
        assert change is not None
        return change

    def _next_elapsed(self, moment: datetime) -> datetime:
        start, offset = moment, self._offset(moment)
        match = next(self._matches(_wall(start, offset)))
        while True:
            instant = (match - offset).replace(tzinfo=UTC)
            change = self._change(start, min(instant, start + _HORIZON))
            if change is None and self._offset(instant) == offset:
                return instant
            if change is None:  # a later year's summer time, say: look again from shortly before
                start = instant - _HORIZON
                offset = self._offset(start)
            else:
                start, offset = change, self._offset(change)
            match = next(self._matches(_wall(start, offset) - _SECOND))

    def _change(self, start: datetime, end: datetime) -> datetime | None:
        """When the clocks are changed, later than *start* and no later than *end*."""
        before = self._offset(start)
        if self._offset(end) == before:
            return None
        low, high = int(start.timestamp()), -int(-end.timestamp() // 1)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(datetime.fromtimestamp(middle, UTC)) == before:
                low = middle
            else:
                high = middle
        return datetime.fromtimestamp(high, UTC)

    def _offset(self, moment: datetime) -> timedelta:
        offset = moment.astimezone(self._zone).utcoffset()
        assert offset is not None
        return offset


def _wall(moment: datetime, offset: timedelta) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) + offset

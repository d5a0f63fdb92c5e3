"""Cron expressions in zones, held against an enumeration of every minute around every change of clocks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from waybill import InvalidScheduleError
from waybill.schedules.cron import Cron

MINUTE = timedelta(minutes=1)
T0 = datetime(2026, 1, 1, 0, 0, tzinfo=UTC)


def following(expression, tz, start, count):
    cron, found = Cron(expression, tz), []
    for _ in range(count):
        start = cron.after(start)
        found.append(start)
    return found


def shown(instants, tz="UTC"):
    return [each.astimezone(ZoneInfo(tz)).strftime("%a %m-%d %H:%M") for each in instants]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 * * * *", ["Thu 01-01 01:00", "Thu 01-01 02:00", "Thu 01-01 03:00"]),
        ("0 9 * * *", ["Thu 01-01 09:00", "Fri 01-02 09:00", "Sat 01-03 09:00"]),
        ("0 0 * * 0", ["Sun 01-04 00:00", "Sun 01-11 00:00", "Sun 01-18 00:00"]),
        ("0 0 1 * *", ["Sun 02-01 00:00", "Sun 03-01 00:00", "Wed 04-01 00:00"]),
        ("*/15 * * * *", ["Thu 01-01 00:15", "Thu 01-01 00:30", "Thu 01-01 00:45"]),
        ("0 9 * * 1", ["Mon 01-05 09:00", "Mon 01-12 09:00", "Mon 01-19 09:00"]),
        ("0 3 * * *", ["Thu 01-01 03:00", "Fri 01-02 03:00", "Sat 01-03 03:00"]),
        ("0 4 * * *", ["Thu 01-01 04:00", "Fri 01-02 04:00", "Sat 01-03 04:00"]),
        ("0 9 * * MON-FRI", ["Thu 01-01 09:00", "Fri 01-02 09:00", "Mon 01-05 09:00"]),
        ("0 0 29 2 *", ["Tue 02-29 00:00", "Sun 02-29 00:00", "Fri 02-29 00:00"]),
    ],
)
def test_the_next_three_instants_of_common_patterns(expression, expected):
    assert shown(following(expression, "UTC", T0, 3)) == expected


def test_nine_o_clock_stays_nine_o_clock_across_both_changes():
    for start in (datetime(2026, 3, 6, 20, tzinfo=UTC), datetime(2026, 10, 30, 20, tzinfo=UTC)):
        found = following("0 9 * * *", "America/New_York", start, 4)
        assert {each.astimezone(ZoneInfo("America/New_York")).strftime("%H:%M") for each in found} == {"09:00"}
        assert len({b - a for a, b in pairwise(found)}) == 2  # one day is not of 24 hours


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        # Forward on the 8th of March, from 02:00 to 03:00.
        ("30 2 * * *", (3, 7, 12), ["03-08 03:00", "03-09 02:30"]),
        ("0,30 2 * * *", (3, 7, 12), ["03-08 03:00", "03-09 02:00", "03-09 02:30"]),
        ("*/30 2 * * *", (3, 7, 12), ["03-08 03:00", "03-09 02:00", "03-09 02:30"]),
        ("0 2,3 * * *", (3, 7, 12), ["03-08 03:00", "03-09 02:00", "03-09 03:00"]),
        ("30 * * * *", (3, 8, 6), ["03-08 01:30", "03-08 03:30", "03-08 04:30"]),
        # Back on the 1st of November, from 02:00 to 01:00.
        ("30 1 * * *", (10, 31, 12), ["11-01 01:30", "11-02 01:30"]),
        ("*/30 1 * * *", (10, 31, 12), ["11-01 01:00", "11-01 01:30", "11-02 01:00"]),
        ("30 * * * *", (11, 1, 5), ["11-01 01:30", "11-01 01:30", "11-01 02:30"]),
        ("0 */2 * * *", (11, 1, 3), ["11-01 00:00", "11-01 02:00", "11-01 04:00"]),
    ],
)
def test_skipped_and_repeated_hours_by_the_stated_rule(expression, start, expected):
    month, day, hour = start
    found = following(expression, "America/New_York", datetime(2026, month, day, hour, tzinfo=UTC), len(expected))
    assert [each.split(" ", 1)[1] for each in shown(found, "America/New_York")] == expected
    assert found == sorted(set(found))


def test_a_repeated_time_runs_the_first_time_it_comes():
    [instant] = following("30 1 * * *", "America/New_York", datetime(2026, 10, 31, 12, tzinfo=UTC), 1)
    assert instant == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)  # still summer time
    between = datetime(2026, 11, 1, 6, 10, tzinfo=UTC)  # 01:10 for the second time
    assert Cron("30 1 * * *", "America/New_York").after(between) == datetime(2026, 11, 2, 6, 30, tzinfo=UTC)


def test_an_even_hour_is_not_lost_where_clocks_change_by_half_an_hour():
    start = datetime(2026, 4, 4, 12, tzinfo=UTC)  # Lord Howe goes back at 02:00, to 01:30
    found = following("0 */2 * * *", "Australia/Lord_Howe", start, 3)
    assert shown(found, "Australia/Lord_Howe") == ["Sun 04-05 00:00", "Sun 04-05 02:00", "Sun 04-05 04:00"]


# -- every zone, ten years -----------------------------------------------------------------------------

YEARS = (datetime(2021, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC))
PATTERNS = ("30 {before} * * *", "{minute} {hour} * * *", "*/20 {before},{hour},{after} * * *", "*/20 * * * *",
            "0 */2 * * *", "45 * * * *", "{minute} {after} * * *")  # fmt: skip


def offset(zone, moment):
    return moment.astimezone(zone).utcoffset()


WEEK = timedelta(days=7)
WEEKS = [YEARS[0] + each * WEEK for each in range((YEARS[1] - YEARS[0]) // WEEK)]


def offsets(zone):
    """One look a week: enough to tell zones apart, and no clock is changed twice within one."""
    return tuple(offset(zone, each) for each in WEEKS)


def changes(zone, looks):
    """Each change of clocks, to the minute."""
    found = []
    for start, (before, after) in zip(WEEKS, pairwise(looks), strict=False):
        low, high = 0, WEEK // MINUTE
        while before != after and high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(zone, start + middle * MINUTE) == before else (low, middle)
        if before != after:
            found.append((start + high * MINUTE, before))
    return found


def members(field, highest):
    chosen = set()
    for part in field.split(","):
        if part.startswith("*"):
            chosen |= set(range(0, highest, int(part[2:] or 1) if "/" in part else 1))
        else:
            chosen.add(int(part))
    return chosen


def wall_clock(zone, start, end):
    """What the clock on the wall shows in each minute."""
    minutes = range(int((end - start) / MINUTE) + 1)
    return {start + each * MINUTE: (start + each * MINUTE).astimezone(zone).replace(tzinfo=None) for each in minutes}


def enumerated(expression, clock):
    """Every instant, minute for minute, by the rule as it is written in the docs."""
    minute_field, hour_field = expression.split()[:2]
    minutes, hours = members(minute_field, 60), members(hour_field, 24)
    matching = [at for at, wall in clock.items() if wall.minute in minutes and wall.hour in hours]
    if not hour_field.startswith("*"):
        seen, first_times = set(), []
        for at in matching:
            if clock[at] not in seen:
                first_times.append(at)
            seen.add(clock[at])
        matching = first_times
        for at, wall in clock.items():
            skipped = clock.get(at - MINUTE, wall) + MINUTE
            while skipped < wall:
                if skipped.minute in minutes and skipped.hour in hours:
                    matching.append(at)
                skipped += MINUTE
    return sorted(set(matching))


def test_every_zone_and_every_change_of_clocks_in_ten_years():
    rules = {}
    for name in sorted(available_timezones() - {"localtime", "Factory"}):
        rules.setdefault(offsets(ZoneInfo(name)), name)  # many zones are one by another name
    checked = 0
    for looks, name in rules.items():
        for moment, before in changes(ZoneInfo(name), looks):
            start, end = moment - timedelta(hours=3), moment + timedelta(hours=3)
            clock = wall_clock(ZoneInfo(name), start - timedelta(hours=2), end)
            wall = (moment + before).replace(tzinfo=None)
            for pattern in PATTERNS:
                expression = pattern.format(
                    minute=wall.minute, hour=wall.hour, before=(wall.hour - 1) % 24, after=(wall.hour + 1) % 24
                )
                cron, got = Cron(expression, name), []
                instant = cron.after(start)
                while instant is not None and instant <= end:
                    got.append(instant)
                    instant = cron.after(instant)
                assert got == [at for at in enumerated(expression, clock) if at > start], (name, expression, moment)
                assert not got or cron.last_until(end, start) == got[-1]
                checked += len(got)
    assert len(rules) > 40
    assert checked > 10_000


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 0 30 2 *", "no such day"),
        ("0 0 31 4,6 *", "no such day"),
        ("61 * * * *", "minute"),
        ("* * * *", "4 fields"),
        ("0 0 9 * * *", "6 fields"),
        ("@daily", "1 fields"),
        ("0 9 * * FUNDAY", "day-of-week"),
        ("", "0 fields"),
        (5, "five fields"),
    ],
)
def test_an_expression_that_is_none_says_what_is_wrong(expression, said):
    with pytest.raises(InvalidScheduleError, match=said):
        Cron(expression)


def test_the_last_instant_before_a_long_time_is_found_without_walking_through_it():
    cron = Cron("* * * * *")
    later = T0 + timedelta(days=3650, seconds=30)
    assert cron.last_until(later, T0) == T0 + timedelta(days=3650)
    assert Cron("0 0 29 2 *").last_until(later, T0) == datetime(2032, 2, 29, tzinfo=UTC)
    assert Cron("0 0 1 1 *").last_until(T0 + timedelta(days=3), T0 + timedelta(days=1)) is None

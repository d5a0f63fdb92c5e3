"""Durations and moments as people write them, refused with the cure where they could be misread."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from waybill import Job, Retry, TransientJobError, Unique, define_job
from waybill.testing import VirtualClock
from waybill.timing import parse_duration, parse_moment

SECONDS = {
    "30s": 30,
    "10m": 600,
    "2h": 7200,
    "3d": 259_200,
    "1w": 604_800,
    "1h30m": 5400,
    "1.5h": 5400,
    "250ms": 0.25,
    "5M": 300,
    " 10 m ": 600,
    "30": 30,
    "0s": 0,
    15: 15,
    1.5: 1.5,
    timedelta(days=3): 259_200,
}


@pytest.mark.parametrize("written", SECONDS, ids=repr)
def test_a_duration_is_read(written):
    assert parse_duration(written) == timedelta(seconds=SECONDS[written])


REFUSED = ["10x", "", "m", "-1s", "1h-30m", "10 m x", "nan", "inf", "1e3s", -1, float("nan"), float("inf"), True, None]
REFUSED += [timedelta(seconds=-1), 10**400, "9" * 400 + "s", "99999999999w", [], b"10m"]


@pytest.mark.parametrize("written", REFUSED, ids=lambda v: repr(v)[:20])
def test_what_is_no_duration_is_a_value_error(written):
    with pytest.raises(ValueError, match="durat|unit|calendar"):
        parse_duration(written)


@given(st.text() | st.floats() | st.integers() | st.from_regex(r"[0-9.]{0,9}[a-z]{0,2}", fullmatch=True))
def test_any_input_is_a_duration_or_a_value_error(written):
    with contextlib.suppress(ValueError):
        assert parse_duration(written) >= timedelta()


BARE = {
    "delay": lambda n: define_job(name="x", delay=n),
    "timeout": lambda n: define_job(name="x", timeout=n),
    "backoff": lambda n: Retry(backoff=n),
    "window": lambda n: Unique(key=str, window=n),
    "class": lambda n: type("X", (Job,), {"delay": n}),
}


@pytest.mark.parametrize("bare", [60, 1.5, "60"], ids=repr)
@pytest.mark.parametrize("option", BARE)
def test_a_bare_number_is_refused_with_the_cure(option, bare):
    with pytest.raises(ValueError, match="timedelta"):
        BARE[option](bare)


def test_a_bare_number_of_retry_after_is_seconds():
    assert TransientJobError("x", retry_after=90).retry_after == timedelta(seconds=90)


def test_a_bare_number_of_a_clock_is_seconds():
    clock = VirtualClock("2026-01-01T00:00:00Z")
    clock.advance(90)
    assert clock.now() == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)


NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MOMENTS = [
    NOON,
    "2026-11-01T12:00:00Z",
    "2026-11-01T12:00:00+00:00",
    "2026-11-01T17:45:00+05:45",
    datetime(2026, 11, 1, 17, 45, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    datetime(2026, 11, 1, 7, tzinfo=ZoneInfo("America/New_York")),
]


@pytest.mark.parametrize("written", MOMENTS, ids=str)
def test_a_moment_is_read_as_utc(written):
    got = parse_moment(written)
    assert got == NOON
    assert got.tzinfo is UTC


@pytest.mark.parametrize("fold", [0, 1])
def test_a_fold_of_daylight_saving_is_two_moments(fold):
    got = parse_moment(datetime(2026, 11, 1, 1, 30, tzinfo=ZoneInfo("America/New_York"), fold=fold))
    assert got == datetime(2026, 11, 1, 5 + fold, 30, tzinfo=UTC)


@pytest.mark.parametrize("naive", [datetime(2026, 1, 1), "2026-01-01T00:00:00", "2026-01-01"], ids=str)
def test_a_naive_moment_is_refused_with_the_cure(naive):
    with pytest.raises(ValueError, match="tzinfo=UTC"):
        parse_moment(naive)


@pytest.mark.parametrize("written", ["soon", "", 5, None, "2026-13-01T00:00:00Z"], ids=repr)
def test_what_is_no_moment_is_a_value_error(written):
    with pytest.raises(ValueError, match="moment"):
        parse_moment(written)

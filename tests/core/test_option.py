"""Retry, unique and the other options, as they are written and as they are kept."""

from datetime import timedelta

import pytest

from waybill import InvalidQueueNameError, PermanentJobError, Retry, TransientJobError, Unique, define_job


def option(**given):
    return define_job(name="x", **given).options


def test_retry_by_default_is_25_runs_kept_as_a_dead_letter():
    assert (Retry().max_attempts, Retry().dead) == (25, True)


def test_a_number_is_so_many_runs():
    assert option(retry=3).retry == Retry(max_attempts=3)


def test_retry_false_runs_once_and_drops_on_failure():
    assert (option(retry=False).retry.max_attempts, option(retry=False).retry.dead) == (1, False)


@pytest.mark.parametrize("wrong", [0, -1])
def test_zero_or_fewer_attempts_are_a_value_error(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        option(retry=wrong)
    with pytest.raises(ValueError, match="at least 1"):
        Retry(max_attempts=wrong)


@pytest.mark.parametrize("wrong", [True, "3", 1.5])
def test_a_retry_that_is_no_number_is_a_type_error(wrong):
    with pytest.raises(TypeError):
        option(retry=wrong)
    with pytest.raises(TypeError):
        Retry(max_attempts=wrong)


@pytest.mark.parametrize("wrong", ["ValueError", (ValueError, "OSError"), (ValueError(),)], ids=str)
def test_what_is_no_exception_class_is_refused_where_it_is_written(wrong):
    with pytest.raises(TypeError):
        Retry(retry_on=wrong)


def test_the_default_backoff_is_about_a_second_at_first_and_an_hour_at_most():
    first = [Retry().wait(1).total_seconds() for _ in range(2000)]
    assert 0.8 < sum(first) / len(first) < 1.2
    assert max(first) <= 2
    late = [Retry().wait(attempt) for attempt in (12, 25, 10_000) for _ in range(50)]
    assert timedelta(minutes=30) < max(late) <= timedelta(hours=1)
    assert len(set(late)) > 100, "without jitter they come back as a herd"


def test_backoff_is_a_duration_or_a_function_of_the_attempt():
    assert Retry(backoff="10s").wait(7) == timedelta(seconds=10)
    assert Retry(backoff=lambda attempt: timedelta(minutes=attempt)).wait(7) == timedelta(minutes=7)


@pytest.mark.parametrize(
    "broken", [lambda n: 1 / 0, lambda n: 5, lambda n: None, lambda n: timedelta(-1)], ids=range(4)
)
def test_a_broken_backoff_function_falls_back_to_the_default(broken, caplog):
    assert timedelta() <= Retry(backoff=broken).wait(1) <= timedelta(seconds=2)
    assert "the default backoff is used" in caplog.text


PERMITS = [
    (Retry(), ValueError(), True),
    (Retry(), PermanentJobError("x"), False),
    (Retry(retry_on=OSError), ValueError(), False),
    (Retry(retry_on=(OSError,)), ConnectionError(), True),
    (Retry(no_retry_on=ValueError), ValueError(), False),
    (Retry(retry_on=OSError, no_retry_on=ConnectionError), ConnectionError(), False),
    (Retry(retry_on=OSError), TransientJobError("x"), True),
    (Retry(no_retry_on=TransientJobError), TransientJobError("x"), True),
    (Retry(retry_on=PermanentJobError), PermanentJobError("x"), False),
]


@pytest.mark.parametrize("case", PERMITS, ids=range(len(PERMITS)))
def test_no_retry_on_beats_retry_on_and_a_transient_error_is_always_retried(case):
    retry, error, permitted = case
    assert retry.permits(error) is permitted


@pytest.mark.parametrize(("given", "until"), [({}, "done"), ({"window": "5m"}, "window")], ids=["plain", "window"])
def test_a_unique_key_is_held_until_done_or_for_the_window_alone(given, until):
    assert Unique(key=str, **given).until == until


def test_a_window_caps_done_where_that_is_said():
    made = Unique(key=str, window="5m", until="done")
    assert (made.until, made.window) == ("done", timedelta(minutes=5))


@pytest.mark.parametrize(
    "wrong", [{"until": "never"}, {"until": "window"}, {"on_conflict": "replace"}, {"window": "x"}]
)
def test_a_unique_that_does_not_fit_together_is_a_value_error(wrong):
    with pytest.raises(ValueError, match="."):
        Unique(key=str, **wrong)


@pytest.mark.parametrize("wrong", [{"key": "user_id"}, {"key": None}])
def test_a_unique_key_is_a_function(wrong):
    with pytest.raises(TypeError):
        Unique(**wrong)


@pytest.mark.parametrize("priority", [0, 9])
def test_a_priority_is_0_to_9(priority):
    assert option(priority=priority).priority == priority


@pytest.mark.parametrize("wrong", [-1, 10, 1.5, True, "high"])
def test_any_other_priority_is_a_value_error(wrong):
    with pytest.raises(ValueError, match="0 to 9"):
        option(priority=wrong)


@pytest.mark.parametrize("name", ["queue", "queue_name", "dead_letter_queue"])
def test_an_option_that_names_a_queue_is_checked(name):
    with pytest.raises(InvalidQueueNameError):
        option(**{name: "no queue"})


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"on_invalid": "drop"}, ValueError), ({"unique": str}, TypeError), ({"group": 5}, TypeError)],
    ids=["on_invalid", "unique", "group"],
)
def test_an_option_of_another_form_is_refused(wrong, error):
    with pytest.raises(error):
        option(**wrong)

"""Cron expressions as EventBridge writes them."""

import random
from datetime import UTC, datetime

import pytest

from waybill import InvalidScheduleError
from waybill.schedules.cron import Cron
from waybill.schedules.eventbridge import from_eventbridge, to_eventbridge

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def instants(expression, count=20):
    cron, moment, found = Cron(expression), T0, []
    for _ in range(count):
        moment = cron.after(moment)
        found.append(moment)
    return found


def test_eight_in_the_morning():
    assert to_eventbridge("0 8 * * *") == "cron(0 8 * * ? *)"
    assert from_eventbridge("cron(0 8 * * ? *)") == "0 8 * * *"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("0 0 * * 0", "cron(0 0 ? * 1 *)"),
        ("0 0 * * 7", "cron(0 0 ? * 1 *)"),
        ("0 9 * * 1", "cron(0 9 ? * 2 *)"),
        ("0 9 * * MON-FRI", "cron(0 9 ? * MON-FRI *)"),
        ("0 9 * * 1-5", "cron(0 9 ? * 2-6 *)"),
        ("0 9 * * 5-7", "cron(0 9 ? * 6,7,1 *)"),
        ("0 9 * * 1#2", "cron(0 9 ? * 2#2 *)"),
        ("0 9 * * 5L", "cron(0 9 ? * 6L *)"),
        ("0 0 1 * *", "cron(0 0 1 * ? *)"),
        ("0 0 L * *", "cron(0 0 L * ? *)"),
        ("*/15 * * * *", "cron(0/15 * * * ? *)"),
        ("0 8-18/2 * JAN,JUL *", "cron(0 8,10,12,14,16,18 * JAN,JUL ? *)"),
    ],
)
def test_days_of_the_week_are_counted_from_one_and_the_other_day_is_a_question_mark(ours, theirs):
    assert to_eventbridge(ours) == theirs
    assert instants(from_eventbridge(theirs)) == instants(ours)


def test_any_expression_survives_the_way_there_and_back():
    chance = random.Random(60)

    def field(low, high):
        first = chance.randint(low, high - 1)
        last = chance.randint(first + 1, high)
        return chance.choice(
            ["*", str(first), f"{first}-{last}", f"{first},{last}", f"*/{chance.randint(2, 7)}", f"{first}-{last}/2"]
        )

    for _ in range(200):
        minute, hour, month = field(0, 59), field(0, 23), field(1, 12)
        day, weekday = chance.choice([(field(1, 28), "*"), ("*", field(0, 6)), ("*", field(1, 7))])
        expression = f"{minute} {hour} {day} {month} {weekday}"
        assert instants(from_eventbridge(to_eventbridge(expression)), 5) == instants(expression, 5), expression


@pytest.mark.parametrize("expression", ["0 9 1 * 1", "0 9 * *", "61 * * * *"])
def test_what_cannot_be_said_there_is_refused(expression):
    with pytest.raises(InvalidScheduleError):
        to_eventbridge(expression)


@pytest.mark.parametrize(
    "expression", ["0 8 * * *", "cron(0 8 * * *)", "cron(0 8 * * ? 2027)", "cron(0 8 * * * *)", "rate(1 day)"]
)
def test_what_cannot_be_said_here_is_refused(expression):
    with pytest.raises(InvalidScheduleError):
        from_eventbridge(expression)

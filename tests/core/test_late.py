"""Values that are looked up or computed when the job runs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypedDict

import pytest

from waybill import ConfigurationError, InvalidJobPayloadError, JobService, Lazy, Ref, Retry, Schedule, Session, job
from waybill.testing import run_until_idle

T0 = datetime(2026, 1, 1, tzinfo=UTC)
A_MONTH_AGO = Lazy("test.a-month-ago", lambda now: (now - timedelta(days=30)).isoformat())


@pytest.fixture
def ran():
    return []


@pytest.fixture
def note(ran):
    @job(name="note", retry=Retry(max_attempts=2, backoff="1m"))
    async def note(payload) -> None:
        ran.append(payload)

    return note


async def users(ctx):
    return {"tag": ctx.session.tag, "user": {"email": f"{ctx.session.token}@x", "id": 7}}


async def test_a_reference_is_read_at_run_and_not_at_enqueue(driver, note, ran):
    emails = {"u1": "old@x"}
    service = JobService(driver, jobs=[note], references={"user": lambda ctx: {"email": emails[ctx.metadata["id"]]}})
    await service.enqueue(note, {"to": [Ref("user.email")], "a/b": {"~": Ref("metadata.id")}}, metadata={"id": "u1"})
    emails["u1"] = "new@x"
    await run_until_idle(service)
    assert ran == [{"to": ["new@x"], "a/b": {"~": "u1"}}]


async def test_a_session_names_whom_it_is_for_and_its_token_is_not_in_the_payload(driver, note, ran):
    service = JobService(driver, jobs=[note], references={"session": users})
    await service.enqueue(
        note, {"to": Ref("session.user.email"), "subject": Ref("session.user.id")}, session=Session("user", "T0K3N")
    )
    assert driver.enqueued[0].payload == {"to": {"$ref": "session.user.email"}, "subject": {"$ref": "session.user.id"}}
    await run_until_idle(service)
    assert ran == [{"to": "T0K3N@x", "subject": 7}]


async def test_without_a_lookup_a_session_tells_its_tag_alone(service, note, ran):
    await service.enqueue(note, Ref("session.tag"), session=Session("user", "T0K3N"))
    await service.enqueue(note, Ref("session.token"), session=Session("user", "T0K3N"))
    await run_until_idle(service)
    assert ran == ["user"]
    assert "no 'token'" in service.driver.dead[0].reason.error


async def test_a_computed_value_is_computed_at_each_firing(service, note, ran, clock):
    await service.dispatch(note, {"before": A_MONTH_AGO}, schedule=Schedule(every="1d"))
    for _ in range(2):
        clock.advance("1d")
        await run_until_idle(service)
    assert ran == [{"before": (T0 + timedelta(days=days)).isoformat()} for days in (-29, -28)]


async def test_a_late_value_has_the_schedules_instant_however_late_it_runs(service, note, ran, clock):
    await service.dispatch(note, A_MONTH_AGO, schedule=Schedule(every="1d", catch_up="all"))
    clock.advance("2d")
    await run_until_idle(service)
    assert sorted(ran) == [(T0 + timedelta(days=days)).isoformat() for days in (-29, -28)]


async def test_the_payload_is_checked_when_it_is_complete(driver, ran):
    class Mail(TypedDict):
        to: str

    @job(name="mail")
    async def mail(payload: Mail) -> None:
        ran.append(payload)

    service = JobService(driver, jobs=[mail], references={"user": lambda ctx: {"email": "a@x", "age": 7}})
    await service.enqueue(mail, {"to": Ref("user.email")})
    await service.enqueue(mail, {"to": Ref("user.age")})
    await run_until_idle(service)
    assert ran == [{"to": "a@x"}]
    assert [each.reason.code for each in driver.dead] == ["invalid-payload"]


async def test_a_dataclass_may_hold_late_values_too(driver, ran):
    @dataclass
    class Mail:
        to: str
        copies: int = 1

    @job(name="mail")
    async def mail(payload: Mail) -> None:
        ran.append(payload)

    service = JobService(driver, jobs=[mail], references={"user": lambda ctx: {"email": "a@x"}})
    await service.enqueue(mail, Mail(Ref("user.email")))
    await run_until_idle(service)
    assert ran == [Mail("a@x", 1)]


async def test_a_payload_that_only_looks_like_one_is_left_as_it_is(service, note, ran):
    look_alike = {"$ref": "session.token"}
    await service.enqueue(note, {"user wrote": look_alike, "real": Ref("metadata.a")}, metadata={"a": 1})
    await service.enqueue(note, look_alike)
    await run_until_idle(service)
    assert ran == [{"user wrote": look_alike, "real": 1}, look_alike]


async def test_what_nobody_can_look_up_is_a_dead_letter_that_says_so(service, note):
    Lazy("gone", lambda now: 1)
    for late in (Ref("nowhere.x"), Ref("metadata.absent")):
        await service.enqueue(note, late)
    await run_until_idle(service)
    errors = [each.reason.error for each in service.driver.dead]
    assert "no 'nowhere' in references=" in errors[0]
    assert "no 'absent'" in errors[1]


async def test_a_lookup_that_fails_is_tried_again(driver, note, ran, clock):
    calls = []

    def lookup(ctx):
        calls.append(ctx.attempt)
        if len(calls) == 1:
            raise OSError("the database is away")
        return {"email": "a@x"}

    service = JobService(driver, jobs=[note], references={"user": lookup})
    await service.enqueue(note, [Ref("user.email"), Ref("user.email")])
    await run_until_idle(service)
    clock.advance("1m")
    await run_until_idle(service)
    assert ran == [["a@x", "a@x"]]
    assert calls == [1, 2]


@pytest.mark.parametrize("path", ["", "a..b", ".a", None])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(ValueError, match="path"):
        Ref(path)


def test_two_functions_cannot_have_one_name():
    Lazy("taken", lambda now: 1)
    Lazy("taken", lambda now: 1)
    with pytest.raises(ConfigurationError, match="taken"):
        Lazy("taken", lambda now: 2)


async def test_what_has_no_json_form_is_refused_beside_a_late_value_too(service, note):
    for wrong in (float("nan"), object()):
        with pytest.raises(InvalidJobPayloadError):
            await service.enqueue(note, {"a": Ref("metadata.a"), "b": wrong})

"""The wire format: what encode writes fits the published schema, and what it reads needs a jobName alone."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files

import jsonschema
import msgspec
import pytest
from hypothesis import given, strategies as st

from waybill import JobService, Session, define_job
from waybill.envelope import Envelope, Message, decode, encode
from waybill.testing import MemoryDriver, VirtualClock, run_until_idle

SCHEMA = json.loads(files("waybill").joinpath("envelope.schema.json").read_bytes())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
FULL = {
    "v": 1,
    "jobName": "send-welcome",
    "jobId": "id1",
    "queue": "emails",
    "payload": {"userId": "u1"},
    "enqueuedAt": "2026-11-23T10:00:00.123456Z",
    "metadata": {"m": [1]},
    "maxAttempts": 3,
    "parentId": "id0",
    "session": {"tag": "t", "token": "s"},
}


@dataclass
class Welcome:
    user_id: str


def read(**fields):
    return decode(json.dumps(fields).encode())


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_field_is_documented():
    assert {"v", *Envelope.__struct_encode_fields__} == set(SCHEMA["properties"])
    assert all(each["description"] for each in SCHEMA["properties"].values())


async def test_what_the_service_sends_is_spelled_as_documented():
    driver = MemoryDriver(clock=VirtualClock(datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)))
    seen = []

    async def handler(payload: Welcome, ctx):
        seen.append(ctx)
        if payload.user_id == "u1":
            await ctx.enqueue("send-welcome", Welcome("u2"), retries=2, metadata={"m": [1]}, session=Session("t", "s"))

    service = JobService(driver, jobs=[define_job(name="send-welcome", queue="emails", handler=handler)])
    await service.enqueue("send-welcome", Welcome("u1"), job_id="id0")
    await run_until_idle(service)
    follow_up = json.loads(driver.enqueued[1].message.body)
    assert follow_up == FULL | {"jobId": follow_up["jobId"], "payload": {"user_id": "u2"}}
    for each in driver.enqueued:
        VALIDATOR.validate(json.loads(each.message.body))
    assert [ctx.parent_id for ctx in seen] == [None, "id0"]


@pytest.mark.parametrize("name", FULL)
def test_each_field_is_written_as_it_is_read(name):
    fields = {"jobName": "x", name: FULL[name]}
    again = json.loads(encode(read(**fields)))
    assert again == {"v": 1, **fields}
    VALIDATOR.validate(again)


def test_only_the_name_is_required():
    found = read(jobName="x")
    assert (found.job_name, found.job_id, bytes(found.payload), found.metadata) == ("x", None, b"null", None)
    VALIDATOR.validate({"jobName": "x"})


@pytest.mark.parametrize(
    "name", ["jobId", "queue", "payload", "enqueuedAt", "metadata", "maxAttempts", "parentId", "session"]
)
def test_a_field_may_be_null(name):
    assert read(jobName="x", **{name: None}).job_name == "x"
    VALIDATOR.validate({"jobName": "x", name: None})


def test_unknown_fields_are_no_obstacle():
    assert read(jobName="x", traceId="t", other={"a": [1]}).job_name == "x"
    VALIDATOR.validate({"jobName": "x", "traceId": "t"})


WRONG = [
    b"",
    b"{}",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b'{"jobName":5}',
    b'{"jobName":null}',
    b'{"jobName":""}',
    b'{"jobName":"x","v":2}',
    b'{"jobName":"x","v":"1"}',
    b'{"jobName":"x","jobId":5}',
    b'{"jobName":"x","metadata":[]}',
    b'{"jobName":"x","maxAttempts":"3"}',
    b'{"jobName":"x","session":{"tag":"t"}}',
    b'{"jobName":"x","enqueuedAt":"yesterday"}',
    b'{"jobName":"x","payload":NaN}',
    b'{"jobName":"x","payload":"\xff"}',
    b'{"jobName":"x"',
    b"[" * 1_000_000,
    b'{"jobName":"x","payload":' + b"[" * 1_000_000,
    b'{"jobName":"x","payload":' + b'{"a":' * 100_000,
]


@pytest.mark.parametrize("body", WRONG, ids=lambda body: repr(body[:40]))
def test_what_is_no_job_is_a_value_error(body):
    with pytest.raises(ValueError, match="."):
        msgspec.json.decode(decode(body).payload)


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.sampled_from(sorted(FULL)), x)).map(
        lambda x: json.dumps(x).encode()
    )
)
def test_any_bytes_are_a_job_or_a_value_error(body):
    try:
        found = decode(body)
    except ValueError:
        return
    VALIDATOR.validate(json.loads(encode(found)))


def test_a_moment_of_another_producer_is_read():
    assert read(jobName="x", enqueuedAt="2026-11-23T15:45:00+05:45").enqueued_at == datetime(
        2026, 11, 23, 10, tzinfo=UTC
    )


@pytest.mark.parametrize("written", ["2026-11-23T10:00:00", "2026-11-23T10:00:00Z"])
async def test_handlers_see_an_aware_moment_whoever_wrote_it(driver, service, written):
    seen = []
    service.registry.add(define_job(name="x", handler=lambda ctx: seen.append(ctx.enqueued_at)))
    await driver.enqueue(Message("id1", "default", json.dumps({"jobName": "x", "enqueuedAt": written}).encode()))
    await run_until_idle(service)
    assert seen == [datetime(2026, 11, 23, 10, tzinfo=UTC)]


def test_no_package_of_ours_can_load_pickles():
    sources = [each.read_text() for each in files("waybill").iterdir() if each.name.endswith(".py")]
    assert not any(word in text for text in sources for word in ("import pickle", "marshal", "yaml", "eval("))


def test_a_message_is_a_frozen_value_that_is_copied_with_changes():
    message = Message("id1", "default", b"{}", priority=3)
    with pytest.raises(FrozenInstanceError):
        message.priority = 4
    assert replace(message, priority=4, group="g") == Message("id1", "default", b"{}", None, "g", 4, {})
    assert pickle.loads(pickle.dumps(message)) == copy.deepcopy(message) == message
    message.headers["its own"] = "yes"
    assert Message("id1", "default", b"{}").headers == {}

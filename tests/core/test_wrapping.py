"""wrap and unwrap: a whole message as one JSON object, for brokers that carry bytes alone."""

import json
from datetime import UTC, datetime, timedelta, timezone

import jsonschema
import pytest
from hypothesis import given, strategies as st

from waybill import Message, UniqueKey
from waybill.envelope import unwrap, wrap

JOB = b'{"v":1,"jobName":"x","jobId":"id1","payload":{"a":[1]}}'
DUE = datetime(2026, 1, 1, 12, tzinfo=UTC)
text = st.text(st.characters(exclude_categories=["Cs"]))
names = st.sampled_from(
    ["jobName", "jobId", "id", "priority", "unique", "group", "headers", "due", "attempts", "raw", "x"]
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**30) | text, lambda x: st.lists(x) | st.dictionaries(names, x)
)
bodies = st.binary() | documents.map(lambda each: json.dumps(each).encode())
windows = st.timedeltas(timedelta(), timedelta(days=9999)).map(
    lambda d: timedelta(milliseconds=d // timedelta(milliseconds=1))
)
uniques = st.builds(UniqueKey, text, st.sampled_from(["done", "start", "window"]), st.none() | windows)
messages = st.builds(
    Message,
    id=text.filter(bool),
    queue=st.just("q"),
    body=bodies | st.just(JOB),
    unique=st.none() | uniques,
    group=st.none() | text,
    priority=st.integers(0, 9),
    headers=st.dictionaries(st.text("abc-", min_size=1), text),
)


def same(one, other):
    try:
        return json.loads(one) == json.loads(other)
    except (ValueError, RecursionError):
        return one == other


@given(messages, st.none() | st.datetimes(timezones=st.just(UTC)), st.integers(0, 1000))
def test_every_message_comes_back_as_it_was(message, due, attempts):
    found = unwrap(wrap(message, due, attempts), queue="q", broker_id="other")
    assert (found.due, found.attempts) == (due, attempts)
    for name in ("id", "queue", "unique", "group", "priority", "headers"):
        assert getattr(found.message, name) == getattr(message, name), name
    assert same(found.message.body, message.body)


def test_a_plain_job_is_carried_as_it_is():
    assert wrap(Message("id1", "q", JOB)) == JOB


def test_what_belongs_to_the_message_stands_beside_the_jobs_fields():
    message = Message("other", "q", JOB, UniqueKey("k", "done", timedelta(seconds=1)), "g", 3, {"h": "v"})
    due = DUE.astimezone(timezone(timedelta(hours=5)))
    assert json.loads(wrap(message, due, 2)) == json.loads(JOB) | {
        "id": "other",
        "priority": 3,
        "unique": {"key": "k", "until": "done", "window": 1000},
        "group": "g",
        "headers": {"h": "v"},
        "due": "2026-01-01T12:00:00Z",
        "attempts": 2,
    }


def test_the_wrapped_form_fits_its_schema():
    from importlib.resources import files

    schema = json.loads(files("waybill").joinpath("envelope.schema.json").read_bytes())
    validator = jsonschema.Draft202012Validator(schema["$defs"]["wrapped"])
    message = Message("other", "q", b"no json", UniqueKey("k", "window", timedelta(seconds=1)), "g", 3, {"h": "v"})
    wrapped = json.loads(wrap(message, DUE, 2))
    validator.validate(wrapped)
    assert set(wrapped) == set(schema["$defs"]["wrapped"]["properties"])


FOREIGN = [
    b"",
    b"no json",
    b"\xff\x00",
    b"[]",
    b"{}",
    b'{"jobName":"x"}',
    b'{"jobName":"x","priority":"high"}',
    b'{"jobName":"x","priority":99}',
    b'{"jobName":"x","attempts":-1}',
    b'{"jobName":"x","raw":"aGk="}',
    b'{"jobName":"x","unique":"k"}',
    b'{"jobName":"x","unique":{"key":"k","until":"done","window":1000000000000000000}}',
    b'{"jobName":"x","headers":{"a":1}}',
    b'{"jobName":"x","due":"soon"}',
    b'{"jobName":"x","jobId":5}',
    b'{"raw":"no base64!"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: repr(data[:40]))
def test_foreign_bytes_get_the_brokers_id_and_are_kept(data):
    found = unwrap(data, queue="q", broker_id="b1")
    assert (found.message.id, found.message.queue, found.due, found.attempts) == ("b1", "q", None, 0)
    assert found.message.body == data


def test_a_foreign_job_keeps_its_own_id():
    assert unwrap(JOB, broker_id="b1").message.id == "id1"


def test_unknown_fields_are_kept():
    found = unwrap(b'{"jobName":"x","traceId":"t","id":"m1","priority":2}').message
    assert json.loads(found.body) == {"jobName": "x", "traceId": "t"}
    assert (found.id, found.priority) == ("m1", 2)


def test_a_moment_without_an_offset_is_utc():
    assert unwrap(b'{"jobName":"x","due":"2026-01-01T12:00:00"}').due == DUE


@given(st.binary() | documents.map(lambda each: json.dumps(each).encode()))
def test_any_bytes_can_be_unwrapped_and_wrapped_again(data):
    found = unwrap(data, queue="q", broker_id="b1")
    again = unwrap(wrap(*found), queue="q", broker_id="b2")
    assert again.message.id == found.message.id
    assert same(again.message.body, found.message.body)
    assert again[1:] == found[1:]


@given(messages)
def test_an_opaque_body_is_carried_as_base64_and_arrives_as_it_was(message):
    carried = wrap(message, DUE, 3, opaque=True)
    assert {"raw", "due"} <= json.loads(carried).keys()
    found = unwrap(carried, queue="q")
    assert (found.message, found.due, found.attempts) == (message, DUE, 3)

"""What a function can be handed: the records of SQS queues, or a job that is to run here and now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from waybill.errors import ConfigurationError, InvalidJobPayloadError

from ..names import FIFO

_SOURCE: Final = "aws:sqs"


@dataclass(frozen=True, slots=True)
class Handed:
    """One record of an event, however much of it is missing."""

    identifier: str
    """What the answer calls it. A record without one fails the whole batch, as Lambda reads an empty identifier."""
    raw: Mapping[str, Any] = field(repr=False)
    """The record, with everything in it that every real one has."""
    body: bytes = field(repr=False)
    received: int
    """How often it was handed out, this time included."""
    arn: str | None
    """Of the queue it came from."""
    group: str | None
    """Of a FIFO queue: what runs one by one, in order."""

    @property
    def queue(self) -> str:
        """The queue's name on SQS, "" where the record does not say it."""
        return (self.arn or "").rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Direct:
    """A job named by the event itself: from a rule or schedule of EventBridge, the console or another function."""

    job_name: str
    payload: bytes = field(repr=False)
    """JSON."""
    event_id: str | None
    """The same for every repetition of the event, where it says one."""
    attempt: int


Event: TypeAlias = list[Handed] | Direct


def read_event(event: object, context: object = None) -> Event:
    """Tell what *event* wants.

    Raises:
        ConfigurationError: nothing that this function could do; it may have the wrong trigger.
        InvalidJobPayloadError: a payload that is no JSON, from a test.
    """
    if isinstance(event, list) and any(map(_is_of_sqs, event)):  # as EventBridge Pipes hand them over
        event = {"Records": event}
    if not isinstance(event, Mapping):
        raise ConfigurationError(f"the event is a {type(event).__name__}, and not an object. {_WANTED}")
    records = event.get("Records")
    if isinstance(records, list):
        if any(map(_is_of_sqs, records)):
            return _once_each([_handed(each) for each in records])
        if not records and _name_in(event) is None:
            return []
    return _direct(event, context)


# -- records -----------------------------------------------------------------------------------------------


def _is_of_sqs(record: object) -> bool:
    """Whether SQS sent it: events of S3, SNS and others have `Records` too."""
    if not isinstance(record, Mapping):
        return False
    source = _source(record)
    return source == _SOURCE or (source is None and ("body" in record or "messageId" in record))


def _source(record: object) -> object:
    given = _mapping(record)
    return given.get("eventSource", given.get("EventSource"))  # SNS spells it so


def _handed(record: object) -> Handed:
    given = record if isinstance(record, Mapping) else {}
    attributes = _mapping(given.get("attributes"))
    arn = _text(given.get("eventSourceARN"))
    group = attributes.get("MessageGroupId")
    # A standard queue has groups too, for fairness among tenants; only a FIFO queue means an order by them.
    is_fifo = arn.endswith(FIFO) if arn else "SequenceNumber" in attributes or "MessageDeduplicationId" in attributes
    received = _count(attributes.get("ApproximateReceiveCount"), 1)
    identifier, body = _text(given.get("messageId")), _body(given.get("body"))
    raw = {
        "messageId": identifier,
        "receiptHandle": _text(given.get("receiptHandle")),
        "body": body,
        "attributes": {
            **attributes,
            "ApproximateReceiveCount": str(received),
            "SentTimestamp": str(_count(attributes.get("SentTimestamp"), 0)),
        },
        "messageAttributes": _mapping(given.get("messageAttributes")),
    }
    return Handed(
        identifier=identifier,
        raw=raw,
        body=body.encode("utf-8", "surrogatepass"),
        received=received,
        arn=arn or None,
        group=group if is_fifo and isinstance(group, str) else None,
    )


def _once_each(records: list[Handed]) -> list[Handed]:
    """One message may be twice in a batch; its later receipt is the one that counts."""
    latest = {each.identifier: each for each in records if each.identifier}
    return [each for each in records if not each.identifier or latest[each.identifier] is each]


def _body(value: object) -> str:
    """The body; what is none is kept in a form that can be looked at, and that nobody takes for a job."""
    return value if isinstance(value, str) else f"no text: {json.dumps(value, default=repr)}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object, least: int) -> int:
    try:
        return max(int(value), least) if isinstance(value, (int, str)) else least
    except ValueError:
        return least


# -- a job by name -----------------------------------------------------------------------------------------

_WANTED: Final = (
    'It takes the records of an SQS queue, or a job by its name: {"jobName": "daily-report", "payload": null}, '
    'which may also stand under "detail"'
)


def _direct(event: Mapping[str, Any], context: object) -> Direct:
    name = _name_in(event)
    if name is None:
        records = event.get("Records")
        sources = {str(_source(each)) for each in records} if isinstance(records, list) else set()
        told = f"the event comes from {', '.join(sorted(sources))}" if sources else "a jobName is required"
        raise ConfigurationError(f"{told}; nothing was run. {_WANTED}")
    payload = event["payload"] if "payload" in event else _mapping(event.get("detail")).get("payload")
    try:
        raw = json.dumps(payload, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as issue:
        raise InvalidJobPayloadError(name, [f"$: {issue}"]) from issue
    return Direct(name, raw, _id_in(event, context), _attempt_in(context))


def _name_in(event: Mapping[str, Any]) -> str | None:
    detail = _mapping(event.get("detail"))
    for value in (event.get("jobName"), detail.get("jobName"), detail.get("name")):
        if isinstance(value, str) and value:
            return value
    return None


def _id_in(event: Mapping[str, Any], context: object) -> str | None:
    """The job's own id, else the one that Lambda and EventBridge keep when they repeat an event."""
    own = event.get("jobId", _mapping(event.get("detail")).get("jobId"))
    if isinstance(own, str) and own:
        return own
    for value in (event.get("id"), _member(context, "aws_request_id", "awsRequestId")):
        if isinstance(value, str) and value:
            return f"eb-{value}"
    return None


def _attempt_in(context: object) -> int:
    """1, or one more than the repetitions that the caller counts in the client context."""
    custom = _member(_member(context, "client_context", "clientContext"), "custom")
    return _count(_member(custom, "retryAttempt"), 0) + 1


def _member(value: object, *names: str) -> object:
    for name in names:
        found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if found is not None:
            return found
    return None

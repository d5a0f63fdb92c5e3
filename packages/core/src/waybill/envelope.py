"""The wire format: what a job looks like as bytes, and the message that carries it.

`encode` and `decode` speak the job's own JSON object (the published schema is `envelope.schema.json`).
`wrap` and `unwrap` are for brokers that carry nothing but bytes: they put what belongs to the message
beside the job's fields in the same object.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from .timing import format_moment

VERSION: Final = 1

UniqueScope = Literal["done", "start", "window"]


@dataclass(frozen=True, slots=True)
class Session:
    """Who the job runs for. It travels with the message; the token is never shown."""

    tag: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A key that at most one message of a queue holds.

    `until` says when it is free again: "done" (acked, dead, purged or cancelled, and after `window`
    where there is one), "start" (first received) or "window" (exactly `window` after acceptance).
    """

    key: str
    until: UniqueScope
    window: timedelta | None = None


@dataclass(frozen=True, slots=True, init=False)
class Message:
    """One call of a job, encoded, as drivers move it."""

    id: str
    queue: str
    body: bytes = field(repr=False)  # a session's token is in it
    unique: UniqueKey | None = None
    group: str | None = None
    priority: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    """ASCII names, at most 4 KiB in all."""

    # One is made for every job that is sent or received, and the __init__ that dataclasses write takes twice as long.
    def __init__(  # noqa: PLR0917 - the fields, in their order
        self,
        id: str,  # noqa: A002
        queue: str,
        body: bytes,
        unique: UniqueKey | None = None,
        group: str | None = None,
        priority: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        _set_id(self, id)
        _set_queue(self, queue)
        _set_body(self, body)
        _set_unique(self, unique)
        _set_group(self, group)
        _set_priority(self, priority)
        _set_headers(self, {} if headers is None else headers)

    @property
    def job_name(self) -> str:
        """The job's name, read from the body.

        Raises:
            ValueError: the body is not a job.
        """
        return decode(self.body).job_name

    @property
    def payload(self) -> Any:
        """The payload as plain JSON values, read from the body.

        Raises:
            ValueError: the body is not a job.
        """
        return msgspec.json.decode(decode(self.body).payload)


_set_id, _set_queue, _set_body, _set_unique, _set_group, _set_priority, _set_headers = (
    getattr(Message, each.name).__set__ for each in fields(Message)
)


class Envelope(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="v", tag=VERSION):
    """A job's fields on the wire. Only `job_name` is required of a foreign producer."""

    job_name: Annotated[str, msgspec.Meta(min_length=1)]
    job_id: str | None = None
    queue: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    enqueued_at: datetime | None = None
    metadata: dict[str, Any] | None = None
    max_attempts: int | None = None
    parent_id: str | None = None
    session: Session | None = None
    schedule_id: str | None = None
    scheduled_for: datetime | None = None
    late: list[str] | None = None


_envelope: Final = msgspec.json.Decoder(Envelope)
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode: Final = msgspec.json.Encoder().encode


def encode(envelope: Envelope) -> bytes:
    """A job's fields as UTF-8 JSON."""
    return _encode(envelope)


def decode(body: bytes) -> Envelope:
    """Read a job's fields.

    Raises:
        ValueError: it is not a job of this version, with what is wrong and where.
    """
    try:
        return _envelope.decode(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from None


_MILLISECOND: Final = timedelta(milliseconds=1)


# -- bytes alone -------------------------------------------------------------------------------------


class _Unique(msgspec.Struct, omit_defaults=True):
    key: str
    until: UniqueScope
    window: Annotated[int, msgspec.Meta(ge=0)] | None = None  # milliseconds

    @classmethod
    def of(cls, unique: UniqueKey) -> _Unique:
        return cls(unique.key, unique.until, None if unique.window is None else unique.window // _MILLISECOND)

    def unique_key(self) -> UniqueKey:
        return UniqueKey(self.key, self.until, None if self.window is None else self.window * _MILLISECOND)


class _Carried(msgspec.Struct, omit_defaults=True):
    """What `wrap` adds beside the job's fields."""

    id: str | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0
    unique: _Unique | None = None
    group: str | None = None
    headers: dict[str, str] = {}
    due: datetime | None = None
    attempts: Annotated[int, msgspec.Meta(ge=0)] = 0
    raw: str | None = None  # base64 of a body that is no JSON object


_carried: Final = msgspec.json.Decoder(_Carried)
_FIELDS: Final = frozenset(_Carried.__struct_fields__)


class Unwrapped(NamedTuple):
    """What `unwrap` found: the message, when it is due (None: now), and deliveries that came before."""

    message: Message
    due: datetime | None
    attempts: int


def wrap(message: Message, due: datetime | None = None, attempts: int = 0, *, opaque: bool = False) -> bytes:
    """The whole message as one JSON object, for a broker that carries bytes alone.

    *opaque* carries the body as base64 whatever it is, for a broker that does not take every character.
    """
    unique = message.unique
    carried = _Carried(
        priority=message.priority,
        unique=None if unique is None else _Unique.of(unique),
        group=message.group,
        headers=dict(message.headers),
        due=due and due.astimezone(UTC),
        attempts=attempts,
    )
    try:
        members = _members.decode(message.body)
    except (ValueError, RecursionError):
        members = {}
        carried.raw = base64.b64encode(message.body).decode()
    if opaque or not _FIELDS.isdisjoint(members):  # a foreign field of the same name must not be taken for ours
        members = {}
        carried.raw = base64.b64encode(message.body).decode()
    if bytes(members.get("jobId", b"")) != _encode(message.id):
        carried.id = message.id
    added = _members.decode(_encode(carried))
    return _encode(members | added) if added else message.body


def unwrap(data: bytes, *, queue: str = "", broker_id: str = "") -> Unwrapped:
    """Read what `wrap` wrote, or a foreign producer's bytes, which get the broker's id."""
    try:
        carried = _carried.decode(data)
        members = _members.decode(data)
        job_id = msgspec.json.decode(members.get("jobId", b"null"))
        unique = None if carried.unique is None else carried.unique.unique_key()
        if carried.raw is not None and _FIELDS.issuperset(members):
            body = base64.b64decode(carried.raw, validate=True)
        elif _FIELDS.isdisjoint(members):  # as of most messages
            body = data
        else:
            kept = {name: value for name, value in members.items() if name == "raw" or name not in _FIELDS}
            body = data if len(kept) == len(members) else _encode(kept)
    except (ValueError, RecursionError, OverflowError, binascii.Error):
        return Unwrapped(Message(broker_id, queue, data), None, 0)
    due = carried.due
    message = Message(
        id=carried.id or (isinstance(job_id, str) and job_id) or broker_id,
        queue=queue,
        body=body,
        unique=unique,
        group=carried.group,
        priority=carried.priority,
        headers=carried.headers,
    )
    return Unwrapped(message, due and (due.replace(tzinfo=UTC) if due.tzinfo is None else due), carried.attempts)


__all__ = [
    "VERSION",
    "Envelope",
    "Message",
    "Session",
    "UniqueKey",
    "UniqueScope",
    "Unwrapped",
    "decode",
    "encode",
    "format_moment",
    "unwrap",
    "wrap",
]

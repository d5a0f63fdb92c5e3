"""A message as the body and properties that are stored, and back.

The body is the job's own JSON and nothing else, so that any program can send and read it. Of the rest, id and priority
are AMQP's own properties, and headers that begin with `x-waybill-` say what AMQP has no place for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from pika import BasicProperties

from waybill.driver import DeadLetter, DeadReason
from waybill.envelope import Message, decode
from waybill.timing import ZERO, format_moment

_ID: Final = "x-waybill-id"
_HEADERS: Final = "x-waybill-headers"
_ATTEMPTS: Final = "x-waybill-attempts"
_REST: Final = "x-waybill-rest"
_DUE: Final = "x-waybill-due"
_SOURCE: Final = "x-waybill-queue"
_REASON: Final = "x-waybill-reason"
_SHORT: Final = 255
"""Bytes in a short string, which an id is."""
_LONGEST_ERROR: Final = 16_384
"""Characters: all headers have to fit into one frame."""
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PERSISTENT: Final = 2


class Letter(NamedTuple):
    """What is published: once and for all, as the next try has properties of its own."""

    properties: BasicProperties
    body: bytes


def to_letter(message: Message, *, attempts: int = 0, rest: timedelta = ZERO, due: datetime | None = None) -> Letter:
    """A message to be stored.

    Args:
        message: the message.
        attempts: begun deliveries that count, so far.
        rest: how much longer it has to wait when it arrives.
        due: the moment it must not arrive before.
    """
    headers: dict[str, Any] = {}
    if message.headers:
        headers[_HEADERS] = json.dumps(dict(message.headers))
    if attempts:
        headers[_ATTEMPTS] = attempts
    if rest > ZERO:
        headers[_REST] = rest // _MICROSECOND
    if due is not None:
        headers[_DUE] = (due - _EPOCH) // _MICROSECOND
    return _letter(message, headers)


def to_dead_letter(message: Message, reason: DeadReason) -> Letter:
    """A message to be kept with the reason why it was given up."""
    headers: dict[str, Any] = {
        _SOURCE: message.queue,
        _REASON: json.dumps([reason.code, reason.error[:_LONGEST_ERROR], reason.attempt, format_moment(reason.at)]),
    }
    if message.headers:
        headers[_HEADERS] = json.dumps(dict(message.headers))
    return _letter(message, headers)


def _letter(message: Message, headers: dict[str, Any]) -> Letter:
    message_id: str | None = message.id
    if len(message.id.encode("utf-8", "surrogatepass")) > _SHORT or not message.id.isprintable():
        headers[_ID] = json.dumps(message.id)
        message_id = None
    properties = BasicProperties(
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        priority=message.priority or None,
        message_id=message_id,
        headers=headers or None,
    )
    return Letter(properties, message.body)


def to_message(queue: str, properties: BasicProperties, body: bytes) -> Message:
    """The message of a letter; another program's may have no more than a body."""
    headers = _headers_of(properties)
    return Message(
        id=_text(headers, _ID) or properties.message_id or _id_in(body) or _digest(body),
        queue=queue,
        body=body,
        priority=properties.priority or 0,
        headers=_told(headers),
    )


def attempts_before(properties: BasicProperties, *, redelivered: bool) -> int:
    """Begun deliveries before this one: those that this driver has noted, and those that the server counts itself."""
    headers = _headers_of(properties)
    return _number(headers, _ATTEMPTS) + deliveries_counted(properties, redelivered=redelivered)


def deliveries_counted(properties: BasicProperties, *, redelivered: bool) -> int:
    """Deliveries of this copy that ended without its holder saying how; a classic queue knows no more than "some"."""
    headers = _headers_of(properties)
    return _number(headers, "x-delivery-count", int(redelivered))


def rest_of(properties: BasicProperties, now: datetime) -> timedelta:
    """How much longer a message that has arrived must wait."""
    headers = properties.headers
    if not headers:
        return ZERO
    rest = _number(headers, _REST) * _MICROSECOND
    due = _number(headers, _DUE)
    if due:
        rest = max(rest, _EPOCH + due * _MICROSECOND - now)
    return max(rest, ZERO)


def due_of(properties: BasicProperties) -> datetime | None:
    """The moment a message must not arrive before, if it has one."""
    due = _number(_headers_of(properties), _DUE)
    return _EPOCH + due * _MICROSECOND if due else None


def to_dead(queue: str, properties: BasicProperties, body: bytes) -> DeadLetter:
    """The dead letter; of one that the server has given up, with the reason it tells."""
    headers = _headers_of(properties)
    message = to_message(_text(headers, _SOURCE, as_json=False) or queue, properties, body)
    try:
        code, error, attempt, at = json.loads(headers[_REASON])
        return DeadLetter(message, DeadReason(code, error, attempt, datetime.fromisoformat(at)))
    except (KeyError, ValueError, TypeError):
        return DeadLetter(message, _reason_of_server(headers))


def _reason_of_server(headers: Mapping[str, Any]) -> DeadReason:
    deaths = headers.get("x-death")
    death = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
    at = death.get("time")
    moment = at.replace(tzinfo=UTC) if isinstance(at, datetime) else _EPOCH
    why = str(death.get("reason", ""))
    attempt = _number(headers, _ATTEMPTS) + _number(headers, "x-delivery-count")
    if why == "delivery_limit":
        error = "RabbitMQ gave it up: its holders vanished as often as delivery_limit allows"
        return DeadReason("lease-expired", error, attempt, moment)
    error = f"RabbitMQ put it here: {why}" if why else "not written by Waybill"
    return DeadReason("undecodable", error, attempt, moment)


def _headers_of(properties: BasicProperties) -> Mapping[str, Any]:
    return properties.headers or {}


def _told(headers: Mapping[str, Any]) -> dict[str, str]:
    """The message's own headers; of another program's, those that are text."""
    told = headers.get(_HEADERS)
    if isinstance(told, str):
        try:
            return {str(name): str(value) for name, value in json.loads(told).items()}
        except (ValueError, AttributeError):
            return {}
    return {
        name: value
        for name, value in headers.items()
        if isinstance(value, str) and not name.startswith("x-") and name.isascii()
    }


def _text(headers: Mapping[str, Any], name: str, *, as_json: bool = True) -> str:
    value = headers.get(name)
    if not isinstance(value, str):
        return ""
    if not as_json:
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return ""


def _number(headers: Mapping[str, Any], name: str, default: int = 0) -> int:
    value = headers.get(name, default)
    return value if isinstance(value, int) and value >= 0 else default


def _id_in(body: bytes) -> str | None:
    try:
        return decode(body).job_id
    except ValueError:
        return None


def _digest(body: bytes) -> str:
    # The same at each delivery, and no two programs' bytes share it by accident.
    return f"amqp-{blake2b(body, digest_size=12).hexdigest()}"

"""A message as it is published: subject, headers, data."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from waybill.driver import Due
from waybill.envelope import Message, wrap
from waybill.timing import ZERO, format_moment

from .clock import ServerClock, micros, micros_at, moment
from .names import LATER, TIMED, Names
from .topology import Queue

_MESSAGE_ID: Final = "Nats-Msg-Id"
_STREAM: Final = "Nats-Expected-Stream"
_PAYLOAD: Final = 2**20
"""Bytes that a server takes unless it is told otherwise."""
_BESIDE: Final = 64 * 1024
"""Bytes that a message may need beside its body: headers, and the reason when it is given up."""


def largest_body(max_payload: int | None) -> int:
    """Bytes; one that is no JSON is carried as base64, which makes four of three."""
    payload = max_payload or _PAYLOAD
    return max(payload - _BESIDE, payload // 4) * 3 // 4


class Parcel(NamedTuple):
    """What is sent to a stream."""

    subject: str
    data: bytes
    headers: dict[str, str]


def due_at(due: Due, clock: ServerClock) -> int | None:
    """Microseconds since 1970, by the server's clock; None: now."""
    if isinstance(due, timedelta):
        return None if due <= ZERO else clock.latest() + micros(due)
    if isinstance(due, datetime):
        at = micros_at(due)
        return at if at > clock.earliest() else None
    return None


def pack(
    names: Names, queue: Queue, message: Message, level: int, *, name: str, due: int | None = None, attempts: int = 0
) -> Parcel:
    """A message for its queue.

    Args:
        names: of the namespace.
        queue: where it goes.
        message: what goes.
        level: of its priority.
        name: by which the server recognises a repeat.
        due: when it is to be delivered.
        attempts: that were begun before.
    """
    stream = names.stream(queue.name)
    headers = {_MESSAGE_ID: name, _STREAM: stream}
    target = names.ready(queue.name, level, message.id)
    data = wrap(message, None if due is None else moment(due), attempts)
    if due is None:
        return Parcel(target, data, headers)
    if not queue.scheduling:
        return Parcel(names.waiting(queue.name, LATER, due, message.id), data, headers)
    headers |= {"Nats-Schedule": f"@at {format_moment(moment(due))}", "Nats-Schedule-Target": target}
    return Parcel(names.waiting(queue.name, TIMED, due, message.id), data, headers)

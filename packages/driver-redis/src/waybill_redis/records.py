"""A message as the bytes that are stored, and as the arguments of the script that stores it.

A record is a tag and the body: `=` before a plain message's, else a line of JSON that tells what the message has
beside its body. What begins otherwise was put there by another program, and is all body.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from waybill.driver import Due
from waybill.envelope import Message, UniqueKey
from waybill.timing import ZERO

from .moments import micros, micros_at

PLAIN: Final = b"="
PLAIN_ROW: Final = 3
"""How many arguments a message has that has no shape."""
_MICROSECOND: Final = timedelta(microseconds=1)


def to_record(message: Message) -> bytes:
    """What is stored of a message."""
    head: dict[str, Any] = {}
    if message.priority:
        head["priority"] = message.priority
    if message.group is not None:
        head["group"] = message.group
    if message.unique is not None:
        unique = message.unique
        head["unique"] = [unique.key, unique.until, None if unique.window is None else unique.window // _MICROSECOND]
    if message.headers:
        head["headers"] = dict(message.headers)
    return b"%b\n%b" % (json.dumps(head).encode(), message.body) if head else PLAIN + message.body


def to_message(queue: str, job_id: bytes, record: bytes) -> Message:
    """The message of a record; of foreign bytes, one whose body they are."""
    name = text(job_id)
    if record[:1] == PLAIN:
        return Message(name, queue, record[1:])
    head, newline, body = record.partition(b"\n")
    if head[:1] == b"{" and newline:
        try:
            known = json.loads(head)
            return Message(
                name,
                queue,
                body,
                _unique(known.get("unique")),
                known.get("group"),
                known.get("priority", 0),
                known.get("headers", {}),
            )
        except (ValueError, TypeError, RecursionError):
            pass
    return Message(name, queue, record)


def to_arguments(message: Message, due: Due) -> tuple[bytes | str, ...]:
    """id, record, shape; unless the shape is empty, group and key: what admit.lua reads."""
    job_id = raw(message.id)
    record = to_record(message)
    if due is None and record[:1] == PLAIN:
        return job_id, record, ""
    unique, window = message.unique, ""
    if unique is not None and unique.window is not None:
        window = str(micros(unique.window))
    shape = (
        f"{9 - message.priority}{_when(due)}{'-' if message.group is None else 'g'}"
        f"{'-' if unique is None else unique.until[0]}{window}"
    )
    return job_id, record, shape, _group(message.group or ""), b"" if unique is None else raw(unique.key)


def raw(value: str) -> bytes:
    """Text as a key, a field or a member: any text, also half a surrogate pair."""
    return value.encode("utf-8", "surrogatepass")


def text(value: bytes) -> str:
    """What `raw` made, or what another program wrote, as readable as it can be."""
    try:
        return value.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return value.decode("utf-8", "backslashreplace")


def _group(group: str) -> bytes:
    # The line behind a head is sorted by the group's name and a NUL, which therefore cannot be in it.
    return raw(group.replace("%", "%25").replace("\0", "%00"))


def _when(due: Due) -> str:
    if due is None:
        return "n"
    if isinstance(due, timedelta):
        return f"i{micros(max(due, ZERO))}"
    return f"a{micros_at(due)}"


def _unique(known: Any) -> UniqueKey | None:
    if known is None:
        return None
    key, until, window = known
    return UniqueKey(key, until, None if window is None else window * _MICROSECOND)

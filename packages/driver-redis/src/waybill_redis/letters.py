"""A dead letter as it is stored: a line of JSON with the reason, then the message's record."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

from waybill.driver import DeadLetter
from waybill.errors import DeadReason

from .moments import micros_at, moment
from .records import to_message

_ORDER: Final = 15
"""A member is this many digits, the queue the message came from, a colon, and its id."""


def head(reason: DeadReason) -> bytes:
    """What comes before the record."""
    why = [reason.code, reason.error, reason.attempt, micros_at(reason.at)]
    return json.dumps(why).encode() + b"\n"


def origin(source: str, job_id: bytes) -> bytes:
    """The end of a member."""
    return b"%b:%b" % (source.encode(), job_id)


def source_and_id(member: bytes) -> tuple[str, bytes]:
    """Where a dead letter came from, and its message's id."""
    source, _, job_id = member[_ORDER:].partition(b":")
    return source.decode("utf-8", "replace"), job_id


def record_of(letter: bytes) -> bytes:
    """The message's record, as it was."""
    return letter.partition(b"\n")[2]


def to_letter(member: bytes, letter: bytes) -> DeadLetter:
    """The dead letter; one that another program wrote has a reason that says so."""
    source, job_id = source_and_id(member)
    why, _, record = letter.partition(b"\n")
    try:
        code, error, attempt, at = json.loads(why)
        reason = DeadReason(code, error, attempt, moment(at))
    except (ValueError, TypeError, OverflowError):
        reason = DeadReason("undecodable", "not written by Waybill", 0, datetime.fromtimestamp(0, UTC))
        record = letter
    return DeadLetter(to_message(source, job_id, record), reason)

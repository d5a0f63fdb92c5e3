"""A message as the text that SQS stores, and a stored record as a message.

The text is the job's own JSON, readable by other languages and by other programs' producers; what belongs to the
message beside it (due time, earlier attempts, group, key, headers) stands in the same object. `ReceiveMessage` and the
events of Lambda differ in nothing but the case of their keys, and are read by one function.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from waybill.envelope import Message, Unwrapped, format_moment, unwrap, wrap
from waybill.errors import DeadReason

REASON: Final = "waybill-reason"
"""The attribute in which a dead letter tells why it is one."""
ATTRIBUTES: Final = ("ApproximateReceiveCount", "SentTimestamp", "SequenceNumber")
"""What must be asked for with every receive."""
_FORBIDDEN: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that SQS takes in no body, and a carriage return, which some of its clients change."""
_LONGEST_ERROR: Final = 4096  # characters; a body and its attributes share one limit


@dataclass(frozen=True, slots=True)
class Record:
    """One stored message, as it was handed to a receiver."""

    broker_id: str
    handle: str = field(repr=False)
    body: str = field(repr=False)
    """What was sent; it may hold a session's token."""
    received: int
    """How often it was received, this time included."""
    sent: datetime
    """Aware UTC, by the clock of SQS."""
    place: str = ""
    """Of a FIFO queue's: a number that is larger for what was sent later, in 20 digits."""
    reason: str | None = field(default=None, repr=False)
    """Of a dead letter: what `to_reason` reads."""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Record:
        """Read a message of `ReceiveMessage`, or a record of a Lambda event.

        Raises:
            ValueError: it is neither.
        """
        name = _upper if "MessageId" in raw else _lower
        try:
            attributes = raw[name("Attributes")]
            told = raw.get(name("MessageAttributes"), {}).get(REASON, {})
            return cls(
                broker_id=str(raw[name("MessageId")]),
                handle=str(raw[name("ReceiptHandle")]),
                body=str(raw[name("Body")]),
                received=max(int(attributes["ApproximateReceiveCount"]), 1),
                sent=datetime.fromtimestamp(int(attributes.get("SentTimestamp", 0)) / 1000, UTC),
                place=str(attributes.get("SequenceNumber", "")).zfill(20),
                reason=told.get(name("StringValue")),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
            raise ValueError(f"this is no SQS record: {type(error).__name__} at {error}") from None

    def read(self, queue: str) -> Unwrapped:
        """The message, when it is due (None: now), and the attempts it had before it was sent as this record."""
        return unwrap(self.body.encode("utf-8", "surrogatepass"), queue=queue, broker_id=self.broker_id)


def _upper(name: str) -> str:
    return name


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def to_body(message: Message, due: datetime | None = None, attempts: int = 0) -> str:
    """What is stored of a message; *due* (aware UTC) where SQS itself cannot delay it so long."""
    try:
        text = wrap(message, due, attempts).decode()
    except UnicodeDecodeError:
        text = None
    if text is None or _FORBIDDEN.search(text):
        text = wrap(message, due, attempts, opaque=True).decode()
        text = _FORBIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text


def to_attributes(reason: DeadReason, queue: str) -> dict[str, dict[str, str]]:
    """The attributes of a dead letter that came from *queue*."""
    told = {
        "code": reason.code,
        "error": reason.error[:_LONGEST_ERROR],
        "attempt": reason.attempt,
        "at": format_moment(reason.at),
        "queue": queue,
    }
    return {REASON: {"DataType": "String", "StringValue": json.dumps(told)}}


def to_reason(record: Record, queue: str) -> tuple[DeadReason, str]:
    """Why a record is a dead letter of *queue*, and the queue it came from.

    One without a reason was moved by SQS itself, as it had been received too often.
    """
    if record.reason is not None:
        try:
            told = json.loads(record.reason)
            at = datetime.fromisoformat(told["at"]).astimezone(UTC)
            return DeadReason(told["code"], told["error"], int(told["attempt"]), at), str(told["queue"])
        except (ValueError, KeyError, TypeError):
            pass
    attempts = record.read(queue).attempts + record.received - 1
    error = "SQS itself gave it up: it was received as often as the queue's redrive policy allows, and never settled"
    return DeadReason("lease-expired", error, max(attempts, 1), record.sent), queue

"""A message as the columns that `job` and `dead` share, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from waybill.envelope import Message, UniqueKey

from .store import micros


def columns(message: Message) -> tuple[Any, ...]:
    """id, rank, grp, unique_key, unique_until, unique_window, headers, body."""
    unique = message.unique
    return (
        message.id,
        -message.priority,
        message.group,
        unique and unique.key,
        unique and unique.until,
        window(unique),
        headers(message),
        message.body,
    )


def message(queue: str, row: Sequence[Any]) -> Message:
    """The message of such a row."""
    job_id, rank, group, key, until, span, headers_text, body = row
    return Message(
        job_id,
        queue,
        body,
        None if key is None else UniqueKey(key, until, None if span is None else timedelta(microseconds=span)),
        group,
        -rank,
        {} if headers_text is None else json.loads(headers_text),
    )


def headers(message: Message) -> str | None:
    """A message's headers as JSON, if it has any."""
    return json.dumps(dict(message.headers)) if message.headers else None


def window(unique: UniqueKey | None) -> int | None:
    """How long a key is held, in the unit of the file."""
    return None if unique is None or unique.window is None else micros(unique.window)

"""Enqueueing: the outcome of each message as Waybill tells it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from waybill.driver import Due
from waybill.envelope import Message
from waybill.errors import WaybillError

from .failures import while_sending
from .server import Server
from .storing import order_for, store


async def enqueue(server: Server, items: Sequence[tuple[Message, Due]]) -> list[str | WaybillError]:
    """The ids, which are the messages' own, or an error in the place of each."""
    server.check_caller()
    now = datetime.now(UTC)
    outcomes = await store(server, [order_for(server.names, message, due, now) for message, due in items])
    return [_told(server, message, outcome) for (message, _), outcome in zip(items, outcomes, strict=True)]


def _told(server: Server, message: Message, outcome: Exception | None) -> str | WaybillError:
    if outcome is None:
        return message.id
    if isinstance(outcome, WaybillError):
        return outcome
    error = while_sending(outcome, server.address.where, message)
    error.__cause__ = outcome
    return error

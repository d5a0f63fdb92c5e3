"""What becomes of a delivery: done, given back, held longer, or given up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from waybill.driver import Delivery
from waybill.errors import DeadReason, LeaseLostError, WaybillError

from .enqueue import due_at
from .receive import promote
from .sql import statements
from .store import Store, micros_at, moment

SQL: Final = statements("settle")


def ack(store: Store, deliveries: Sequence[Delivery]) -> list[WaybillError | None]:
    """Remove what is done."""
    outcomes: list[WaybillError | None] = []
    for delivery in deliveries:
        held = store.execute(SQL.ack, receipt(delivery)).rowcount
        outcomes.append(None if held else lost(delivery))
        if delivery.message.group is not None:
            give_way(store, delivery)
    return outcomes


def nack(store: Store, items: Sequence[tuple[Delivery, timedelta]]) -> list[WaybillError | None]:
    """Give back for another attempt; each keeps its place, and its group waits for it."""
    now = store.now()
    outcomes: list[WaybillError | None] = []
    for delivery, delay in items:
        seq, token = receipt(delivery)
        held = store.execute(SQL.nack, {"seq": seq, "token": token, "at": due_at(delay, now)}).rowcount
        outcomes.append(None if held else lost(delivery))
        store.changed.add(delivery.message.queue)
    return outcomes


def release(store: Store, items: Sequence[tuple[Delivery, timedelta]]) -> list[WaybillError | None]:
    """Give back as if it had not been received."""
    now = store.now()
    outcomes: list[WaybillError | None] = []
    for delivery, delay in items:
        message = delivery.message
        seq, token = receipt(delivery)
        held = store.execute(SQL.release, {"seq": seq, "token": token, "at": due_at(delay, now)}).rowcount
        outcomes.append(None if held else lost(delivery))
        if message.group is not None:
            give_way(store, delivery)
        store.changed.add(message.queue)
    return outcomes


def extend(store: Store, deliveries: Sequence[Delivery]) -> list[Delivery | WaybillError]:
    """A full lease again, from now."""
    until = store.now() + store.lease
    leased_until = moment(until)
    outcomes: list[Delivery | WaybillError] = []
    for delivery in deliveries:
        held = store.execute(SQL.extend, (until, *receipt(delivery))).rowcount
        extended = Delivery(delivery.message, delivery.attempt, delivery.receipt, leased_until)
        outcomes.append(extended if held else lost(delivery))
    return outcomes


def bury(store: Store, delivery: Delivery, reason: DeadReason, to: str | None) -> None:
    """Move it to the dead letters.

    Raises:
        LeaseLostError: the delivery is no longer its receiver's.
    """
    filed = store.number_for(to or delivery.message.queue)
    why = (reason.code, reason.error, reason.attempt, micros_at(reason.at))
    if not store.execute(SQL.file_as_dead, (filed, *why, *receipt(delivery))).rowcount:
        raise lost(delivery)
    ack(store, [delivery])


def give_way(store: Store, delivery: Delivery) -> None:
    """Let the next of its group come forward, if it no longer is the head."""
    queue = delivery.message.queue
    promote(store, queue, store.number_for(queue), (delivery.message.group,))


def receipt(delivery: Delivery) -> tuple[int, int]:
    """The row and its token; of a receipt that is not this driver's, a row that never was."""
    match delivery.receipt:
        case (int(seq), int(token)):
            return seq, token
    return 0, 0


def lost(delivery: Delivery) -> LeaseLostError:
    """The delivery was settled, or its lease ran out and another worker has the job."""
    return LeaseLostError(
        f"job {delivery.message.id}: attempt {delivery.attempt} is no longer this worker's; it was settled, or its "
        "lease ran out and another worker has the job. Nothing was changed"
    )

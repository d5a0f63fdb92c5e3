"""What a receiver holds: where to settle, and until when.

JetStream honours whoever acks, long after the lease has ended. So the fence is here: past its end by this process's
clock, and once it was settled, a receipt is worth nothing.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

from waybill.driver import Delivery
from waybill.errors import LeaseLostError

from .pull import Raw

_MARGIN: Final = 0.05
_WIDEST: Final = 1.0
"""Seconds, and which part of a lease: the server's began a little before this process heard of it."""


class Receipt:
    """Of one delivery; clones of a driver share it."""

    __slots__ = ("counted", "data", "delivered", "level", "reply", "seq", "settled", "stored", "until")

    def __init__(self, raw: Raw, until: float, counted: int) -> None:
        self.reply, self.level = raw.reply, raw.lane.level
        self.seq, self.stored, self.delivered = raw.seq, raw.stored, raw.delivered
        """Which message of the stream it is, when that was stored (nanoseconds), how often it was delivered."""
        self.data = raw.data
        """The message as it is stored, whatever its receiver does to what it was handed."""
        self.until = until
        """By `time.monotonic`."""
        self.counted = counted
        """The entry that tells how many deliveries do not count, or 0."""
        self.settled = False

    @property
    def consumer(self) -> str:
        """What the acks of one consumer have in common: they are processed in order."""
        return self.reply.rsplit(".", 5)[0]


def seconds_held(lease: timedelta) -> float:
    """How long a delivery is taken to be held from now on."""
    seconds = lease.total_seconds()
    return seconds - min(seconds * _MARGIN, _WIDEST)


def standing(delivery: Delivery) -> Receipt:
    """The receipt of a delivery that is its receiver's.

    Raises:
        LeaseLostError: it is not.
    """
    receipt = delivery.receipt
    if isinstance(receipt, Receipt) and not receipt.settled and time.monotonic() < receipt.until:
        return receipt
    raise LeaseLostError(
        f"job {delivery.message.id}: attempt {delivery.attempt} is no longer this worker's; it was settled, or its "
        "lease ran out and another worker may have the job. Nothing was changed"
    )

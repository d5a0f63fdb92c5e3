"""Whose a delivery is, by this process's clock: SQS itself does not tell a receiver that it has lost one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from waybill.driver import Delivery, Message

from .failures import lost_lease
from .options import LONGEST_LEASE

CAP = LONGEST_LEASE.total_seconds()
"""Seconds from its receive after which SQS lets nobody keep a message."""


@dataclass(eq=False, slots=True)
class Receipt:
    """The right to settle one delivery; shared by a driver and its clones. Times are those of a monotonic clock."""

    url: str
    """Of the queue it came from."""
    handle: str = field(repr=False)
    taken: float
    until: float
    place: str = ""
    """Its record's place in line."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of the message as it came: the ones that were delivered are its receiver's, to be changed at will."""
    settled: bool = False
    copied: str = ""
    """The verb that has stored a copy already, and has only to delete it."""
    busy: bool = False
    """Being settled: of several that try at once, one wins."""

    def longest(self, now: float) -> int:
        """For how many whole seconds from *now* it can still be held, or given back for."""
        return int(self.taken + CAP - now)


def as_it_came(delivery: Delivery) -> Message:
    """The message that is stored, for a copy of it."""
    receipt = delivery.receipt
    return replace(delivery.message, headers=receipt.headers) if isinstance(receipt, Receipt) else delivery.message


def receipt_of(delivery: Delivery, now: float) -> Receipt:
    """The receipt of a delivery that is still its receiver's.

    Raises:
        LeaseLostError: it is not.
    """
    receipt: Any = delivery.receipt
    if not isinstance(receipt, Receipt) or receipt.settled or receipt.busy or now >= receipt.until:
        raise lost_lease(delivery.message, delivery.attempt)
    return receipt

"""Deliveries that are out: each is settled once, and none once its channel has ended.

A receipt names a channel and a place on it, and neither is ever used again: the server counts places from 1 on each
channel, so that a stale receipt would fit another's delivery, did it get there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pika import BasicProperties

from waybill.driver import Delivery
from waybill.envelope import Message

from .records import attempts_before, deliveries_counted, to_message

if TYPE_CHECKING:
    from .tap import Tap

_epochs: Final[Iterator[int]] = count(1)


def new_epoch() -> int:
    """A number for a channel that no other one of this process has or had."""
    return next(_epochs)


class Receipt(NamedTuple):
    """Where a delivery came in."""

    epoch: int
    place: int


@dataclass(eq=False)
class Held:
    """A message that has come in and is not settled."""

    tap: Tap
    receipt: Receipt
    consumer: int
    """Of the tap's consumers, the one it came through."""
    properties: BasicProperties
    body: bytes
    redelivered: bool
    settled: bool = False
    """Whether it is on its way to the server that it is done or given back."""

    @property
    def counted(self) -> int:
        """Deliveries of it that ended without its holder saying how, as far as the server tells."""
        return deliveries_counted(self.properties, redelivered=self.redelivered)

    @property
    def attempts_before(self) -> int:
        """Begun deliveries before this one."""
        return attempts_before(self.properties, redelivered=self.redelivered)

    @property
    def message(self) -> Message:
        """One of the caller's own: what is changed in it does not change what goes back."""
        return to_message(self.tap.queue, self.properties, self.body)


class Holdings:
    """What was handed out and is not settled, by receipt."""

    def __init__(self) -> None:
        self._held: dict[Receipt, Held] = {}

    def add(self, held: Held) -> None:
        self._held[held.receipt] = held

    def has(self, delivery: Delivery) -> bool:
        return _receipt(delivery.receipt) in self._held

    def take(self, delivery: Delivery) -> Held | None:
        """The one that is to be settled now, by nobody else; None if it is not ours any more."""
        return self._held.pop(_receipt(delivery.receipt), None)

    def put_back(self, held: Held) -> None:
        """It could not be settled; it is still ours unless its channel has ended."""
        if held.tap.channel.ended is None:
            self._held[held.receipt] = held

    def drop(self, epoch: int) -> None:
        """A channel has ended."""
        for receipt in [each for each in self._held if each.epoch == epoch]:
            del self._held[receipt]


_NOBODYS: Final = Receipt(0, 0)


def _receipt(receipt: Any) -> Receipt:
    return receipt if isinstance(receipt, Receipt) else _NOBODYS

"""Sending with confirms: of each message it is known that the server has it, has refused it, or may have it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from pika import BasicProperties, spec

from .channel import Channel
from .failures import LostError, RefusedError, UnansweredError, UnroutableError, refuses
from .records import Letter


class Parcel(NamedTuple):
    """A letter, and where to."""

    exchange: str
    key: str
    letter: Letter


class Shipment:
    """Parcels that were sent together, and what became of each: None once it is confirmed."""

    def __init__(self, parcels: Sequence[Parcel]) -> None:
        self.parcels = parcels
        self.outcomes: list[Exception | None] = [UnansweredError(sent=True)] * len(parcels)
        self._left = len(parcels)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(self, end: float) -> bool:
        """Wait until all is told, or until that time on the loop's clock; whether it is."""
        if self._left:
            timer = self._done.get_loop().call_at(end, self._end)
            try:
                await self._done
            finally:
                timer.cancel()
        return not self._left

    def tell(self, number: int, outcome: Exception | None) -> None:
        """What became of one."""
        self.outcomes[number] = outcome
        self._left -= 1
        if not self._left:
            self._end()

    def _end(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


class Publisher:
    """A channel in confirm mode."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._number = 0
        self._under_way: dict[int, tuple[Shipment, int]] = {}
        self._returned: dict[tuple[str, str | None], str] = {}
        channel.raw.add_on_return_callback(self._on_return)
        channel.watch(self._on_end)

    async def open(self) -> None:
        """Switch the confirms on."""
        await self.channel.ask(self.channel.raw.confirm_delivery, self._on_confirm)

    def send(self, parcels: Sequence[Parcel]) -> Shipment:
        """Send at once, and have the confirms come in when they do.

        Raises:
            LostError: nothing was sent, as the channel has ended.
        """
        self.channel.check()
        shipment = Shipment(parcels)
        publish, under_way = self.channel.raw.basic_publish, self._under_way
        for number, (exchange, key, letter) in enumerate(parcels):
            self._number += 1
            under_way[self._number] = (shipment, number)
            publish(exchange, key, letter.body, letter.properties, mandatory=True)
        return shipment

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        refused = isinstance(method, spec.Basic.Nack)
        if not method.multiple:
            self._confirm(method.delivery_tag, refused=refused)
            return
        for tag in list(self._under_way):  # in the order in which they were sent
            if tag > method.delivery_tag:
                break
            self._confirm(tag, refused=refused)

    def _confirm(self, tag: int, *, refused: bool) -> None:
        found = self._under_way.pop(tag, None)
        if found is None:
            return
        shipment, number = found
        outcome: Exception | None = RefusedError() if refused else None
        if self._returned:
            # What nobody wants comes back first, and is confirmed then as if all was well.
            parcel = shipment.parcels[number]
            why = self._returned.pop((parcel.key, parcel.letter.properties.message_id), None)
            if why is not None:
                outcome = UnroutableError(why)
        shipment.tell(number, outcome)

    def _on_return(self, _: Any, method: spec.Basic.Return, properties: BasicProperties, body: bytes) -> None:
        self._returned[method.routing_key, properties.message_id] = method.reply_text

    def _on_end(self, reason: Exception) -> None:
        under_way, self._under_way = self._under_way, {}
        for shipment, number in under_way.values():
            certain = refuses(reason, shipment.parcels[number].exchange, alone=len(under_way) == 1)
            lost = LostError(str(reason), sent=not certain)
            lost.__cause__ = reason
            shipment.tell(number, lost)

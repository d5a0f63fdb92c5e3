"""One queue's messages as they are pushed to this process: what nobody has taken yet, and how many more may come."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from pika import BasicProperties, spec

from .channel import Channel
from .held import Held, Receipt, new_epoch
from .settling import Settling

_TURNS: Final = 10
_ARRIVING: Final = 0.1
"""Seconds that messages may be on their way which the server has counted as there; another may get them."""


class Receivers(Protocol):
    """Those who draw from a tap."""

    def wanted(self, queue: str) -> int:
        """How many of a queue's messages are waited for now."""
        ...

    def arrived(self, held: Held) -> None:
        """A message has come in: it is parked, or taken care of otherwise."""
        ...


class Tap:
    """A channel with at most one consumer that is open.

    Args:
        channel: its own.
        name: the queue's, on the server.
        queue: the queue's, as jobs have it.
        receivers: those it is for.
        most: the most messages that may be pushed and not settled; 0: any number.
    """

    def __init__(self, channel: Channel, name: str, queue: str, receivers: Receivers, most: int) -> None:
        self.channel, self.name, self.queue = channel, name, queue
        self.epoch = new_epoch()
        self.settling = Settling(channel, self._before_settling)
        self.parked: deque[Held] = deque()
        self.outstanding = 0
        """Messages that have come and are not settled."""
        self._receivers, self._most = receivers, most
        self._tag: str | None = None
        self._prefetch = 0
        self._consumer = 0
        self._through_consumer = 0
        self._changing = asyncio.Lock()
        self._coming: asyncio.Future[None] | None = None
        channel.watch(self._on_end)
        channel.raw.add_on_cancel_callback(self._on_cancel)

    # -- how many may come -----------------------------------------------------------------------------

    @property
    def consuming(self) -> bool:
        return self._tag is not None

    @property
    def credit(self) -> int:
        """How many more the server may push."""
        return self._prefetch - self._through_consumer if self._tag is not None else 0

    @property
    def starved(self) -> bool:
        """Whether far less may come than is waited for."""
        wanted = self._receivers.wanted(self.queue)
        return self.credit * 2 < (min(wanted, self._most) if self._most else wanted)

    async def widen(self, number: int) -> None:
        """Have so many more pushed, beside what is out."""
        await asyncio.shield(asyncio.ensure_future(self._widen(number)))

    async def _widen(self, number: int) -> None:
        async with self._changing:
            number = min(number, self._most or number)
            if self.credit >= number:
                return
            await self._stop()
            # A new consumer: the limit of one that is there cannot be changed.
            self._consumer += 1
            self._prefetch, self._through_consumer = number, 0
            self._tag = await self.channel.consume(self.name, number, self._on_message)

    async def rest(self) -> None:
        """Have nothing more pushed."""
        async with self._changing:
            await self._stop()

    async def _before_settling(self) -> None:
        # Each message that is settled lets the server push another one, and it would come for nobody, unless its
        # receiver asks again: a worker does so as soon as it has room, which is a few turns of the loop later.
        for _ in range(_TURNS):
            if self._tag is None or self._receivers.wanted(self.queue):
                return
            await asyncio.sleep(0)
        await self.rest()

    async def _stop(self) -> None:
        if self._tag is not None:
            tag, self._tag = self._tag, None
            await self.channel.cancel(tag)

    # -- what comes ------------------------------------------------------------------------------------

    async def count(self) -> int:
        """How many messages are ready in the queue."""
        declared = await self.channel.ask(self.channel.raw.queue_declare, self.name, passive=True)
        return int(declared.message_count)

    async def settle_in(self, ready: int, room: int) -> None:
        """Wait for messages that are there, as the server has counted them, or on their way."""
        wanted = min(ready, room)
        if self._tag is not None or wanted:
            if wanted > len(self.parked):
                await self.widen(wanted - len(self.parked))
            # What was pushed before the count was asked for comes in before this is answered.
            await self.channel.barrier()
        if len(self.parked) < wanted:
            loop = asyncio.get_running_loop()
            end = loop.time() + _ARRIVING
            while len(self.parked) < wanted and (left := end - loop.time()) > 0 and self.channel.ended is None:
                self._coming = loop.create_future()
                await asyncio.wait([self._coming], timeout=left)

    def take(self, limit: int) -> list[Held]:
        """Up to so many that have come; they are the caller's now."""
        return [self.parked.popleft() for _ in range(min(limit, len(self.parked)))]

    def settled(self, held: Held) -> None:
        """One that has come through here is settled: another one may come."""
        self.outstanding -= 1
        if held.consumer == self._consumer:
            self._through_consumer -= 1

    def _on_message(self, method: spec.Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        place = method.delivery_tag or 0
        held = Held(self, Receipt(self.epoch, place), self._consumer, properties, body, bool(method.redelivered))
        self.settling.came(place)
        self.outstanding += 1
        self._through_consumer += 1
        self._receivers.arrived(held)

    def park(self, held: Held) -> None:
        """Keep it for whoever takes it."""
        self.parked.append(held)
        if self._coming is not None and not self._coming.done():
            self._coming.set_result(None)

    def _on_cancel(self, _: object) -> None:
        # The queue was deleted, or its node has gone; what came through here is not ours any more.
        self._tag = None
        if self.channel.raw.is_open:
            self.channel.raw.close(404, "the queue is gone")

    def _on_end(self, _: Exception) -> None:
        self._tag = None
        self.parked.clear()
        if self._coming is not None and not self._coming.done():
            self._coming.set_result(None)

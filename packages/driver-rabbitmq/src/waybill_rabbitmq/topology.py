"""Queues and exchanges, made or looked for once per connection, before they are used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pika.exchange_type import ExchangeType

from .channel import Channel
from .link import Link
from .names import Names


class Topology:
    """What one connection knows to be there."""

    def __init__(self, names: Names, link: Link) -> None:
        self._names, self._link = names, link
        self._declare = names.options.declare
        self._known: dict[str, asyncio.Future[None]] = {}
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()

    def knows(self, queue: str, *, delayed: bool) -> bool:
        """Whether nothing is left to be done for it."""
        if self._declare == "none":
            return True
        known = self._known.get(f"end of {queue}" if delayed else self._names.queue(queue))
        return known is not None and known.done()

    async def queue(self, queue: str) -> None:
        """Have a queue, and the one of its dead letters.

        Raises:
            LostError: it is missing, or was declared otherwise; the cause says so.
        """
        await self._once(self._names.queue(queue), lambda: self._make_queue(queue))

    async def ladder(self, queue: str) -> None:
        """Have what delays messages, with its end at this queue."""
        await self.queue(queue)
        await self._once("ladder", self._make_ladder)
        await self._once(f"end of {queue}", lambda: self._end_ladder(queue))

    def forget(self, queue: str) -> None:
        """It turned out not to be there."""
        for name in (self._names.queue(queue), "ladder", f"end of {queue}"):
            self._known.pop(name, None)

    async def _once(self, name: str, make: Callable[[], Awaitable[None]]) -> None:
        """Do it once, for whoever asks; also for one who has asked and was cancelled."""
        if self._declare == "none":
            return
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = asyncio.ensure_future(make())
            known.add_done_callback(lambda done: self._drop_failed(name, done))
        if not known.done():
            await asyncio.shield(known)
        known.result()

    def _drop_failed(self, name: str, done: asyncio.Future[None]) -> None:
        if (done.cancelled() or done.exception() is not None) and self._known.get(name) is done:
            del self._known[name]

    async def _open_channel(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.ended is not None:
                self._channel = await self._link.channel()
            return self._channel

    async def _make_queue(self, queue: str) -> None:
        channel, names = await self._open_channel(), self._names
        declare = channel.raw.queue_declare
        if self._declare == "passive":
            await channel.ask(declare, names.queue(queue), passive=True)
            return
        await channel.ask(declare, names.dead(queue), durable=True, arguments=names.dead_arguments())
        await channel.ask(declare, names.queue(queue), durable=True, arguments=names.arguments(queue))

    async def _make_ladder(self) -> None:
        channel, names = await self._open_channel(), self._names
        queue, exchange, bind = channel.raw.queue_declare, channel.raw.exchange_declare, channel.raw.queue_bind
        if self._declare == "passive":
            await channel.ask(exchange, names.arrivals, passive=True)
            return
        await channel.ask(exchange, names.unroutable, ExchangeType.fanout, durable=True)
        await channel.ask(queue, names.unroutable, durable=True, arguments=names.unroutable_arguments())
        await channel.ask(bind, names.unroutable, names.unroutable)
        alternate = {"alternate-exchange": names.unroutable}
        await channel.ask(exchange, names.arrivals, ExchangeType.topic, durable=True, arguments=alternate)
        for level in names.levels():
            await channel.ask(exchange, level.exchange, ExchangeType.topic, durable=True)
            await channel.ask(queue, level.queue, durable=True, arguments=level.arguments)
            await channel.ask(bind, level.queue, level.exchange, level.waits)
            await channel.ask(channel.raw.exchange_bind, level.below, level.exchange, level.passes)

    async def _end_ladder(self, queue: str) -> None:
        if self._declare != "create":
            return
        channel, names = await self._open_channel(), self._names
        await channel.ask(channel.raw.queue_bind, names.queue(queue), names.arrivals, names.arrival_key(queue))

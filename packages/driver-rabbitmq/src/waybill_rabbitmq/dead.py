"""Dead letters: reading them, sending them back, and throwing them away.

AMQP shows a queue's messages only by handing them out. So all are taken, looked at and given back in their order: a
part of them would go back behind the others. Two who look at one moment see a part each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pika import BasicProperties, spec

from waybill.driver import DeadLetter, Page

from .channel import Channel
from .failures import LostError, is_missing
from .records import to_dead
from .server import Server
from .storing import order, store

_MOST: Final = 65_535
"""As many as a consumer can be given; those behind are seen when these are gone."""
_AT_ONCE: Final = 1000
_IN_ORDER: Final = 32
"""So many go back with one command: of more, older servers forget the order."""
_ARRIVING: Final = 0.5
"""Seconds without a further letter, after which those that are missing are taken to be with somebody else."""
_LOOKS: Final = 50
_PAUSE: Final = 0.01
"""Seconds between looks whether what was given back is there again."""


class _Seen(NamedTuple):
    place: int
    letter: DeadLetter


async def list_dead(server: Server, queue: str, after: str | None, limit: int) -> Page[DeadLetter]:
    """A page of them, the oldest first; *after* tells how many were seen before."""
    skip = int(after) if after is not None and after.isdecimal() else 0
    look = _Look(server, queue)
    seen = await look.at(_MOST, lambda number, _: skip <= number < skip + limit)
    await look.end()
    more = look.found > skip + limit > skip
    return Page([each.letter for each in seen], str(skip + limit) if more else None)


async def retry_dead(server: Server, queue: str, ids: Sequence[str] | None) -> int:
    """Send some back to where they came from, as if they were new."""
    if ids is not None:
        wanted = set(ids)
        return await _retry(server, queue, _MOST, lambda _, letter: letter.message.id in wanted) if wanted else 0
    restored = 0
    while some := await _retry(server, queue, _AT_ONCE, lambda *_: True):
        restored += some
        if some < _AT_ONCE:
            break
    return restored


async def _retry(server: Server, queue: str, most: int, chosen: Callable[[int, DeadLetter], bool]) -> int:
    look = _Look(server, queue)
    restored = 0
    try:
        seen = await look.at(most, chosen)
        for start in range(0, len(seen), _AT_ONCE):
            some = seen[start : start + _AT_ONCE]
            stored = await store(server, [order(server.names, each.letter.message) for each in some])
            for each, outcome in zip(some, stored, strict=True):
                if outcome is None:
                    look.remove(each)
                    restored += 1
            for outcome in stored:
                if outcome is not None:
                    raise outcome
    finally:
        await look.end()
    return restored


class _Look:
    """A look at a queue of dead letters from its head on; nobody else sees them meanwhile."""

    def __init__(self, server: Server, queue: str) -> None:
        self._server, self._queue = server, queue
        self._name = server.names.dead(queue)
        self._channel: Channel | None = None
        self._tag: str | None = None
        self._places: dict[int, None] = {}
        self._total = 0
        self.found = 0
        """How many there are."""

    async def at(self, most: int, keep: Callable[[int, DeadLetter], bool]) -> Sequence[_Seen]:
        """Of the oldest ones, up to so many, those that are to be kept, by number and letter."""
        link = await self._server.receiving.link()
        channel = self._channel = await link.channel()
        try:
            self._total = await self._count(channel)
        except LostError as error:
            if is_missing(error):
                return ()
            raise
        seen: list[_Seen] = []
        came = asyncio.Event()

        def on_message(method: spec.Basic.Deliver | spec.Basic.GetOk, properties: BasicProperties, body: bytes) -> None:
            place = method.delivery_tag or 0
            self._places[place] = None
            letter = to_dead(self._queue, properties, body)
            if keep(self.found, letter):
                seen.append(_Seen(place, letter))
            self.found += 1
            came.set()

        if not self._total:
            # A queue that has just come back counts nothing yet: this asks its majority.
            if not await channel.get(self._name, on_message):
                return ()
            self._total = 1 + await self._count(channel)
        wanted = min(self._total, most)
        self._tag = await channel.consume(self._name, wanted, on_message)
        try:
            while self.found < wanted:
                async with asyncio.timeout(_ARRIVING):
                    await came.wait()
                came.clear()
        except TimeoutError:
            pass
        return seen

    def remove(self, seen: _Seen) -> None:
        """It is dead no more."""
        assert self._channel is not None
        self._channel.check()
        self._channel.raw.basic_ack(seen.place)
        del self._places[seen.place]
        self._total -= 1

    async def end(self) -> None:
        """Give back what was looked at, and wait until it is there again, so that the next look finds it."""
        channel = self._channel
        if channel is None or channel.ended is not None:
            return
        if self._tag is not None:
            # Before anything goes back, so that it does not come again; and after the acks, as the server keeps those
            # that come fast for a while, forgets them with the channel, and has dealt with them when it answers this.
            await channel.cancel(self._tag)
            await channel.barrier()
        places = list(self._places)
        for start in range(0, len(places), _IN_ORDER):
            channel.raw.basic_nack(places[start : start + _IN_ORDER][-1], multiple=True, requeue=True)
        for _ in range(_LOOKS if places else 0):
            if await self._count(channel) >= self._total:
                break
            await asyncio.sleep(_PAUSE)
        await channel.close()

    async def _count(self, channel: Channel) -> int:
        declared = await channel.ask(channel.raw.queue_declare, self._name, passive=True)
        return int(declared.message_count)

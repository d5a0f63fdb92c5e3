"""Dead letters: reading them, sending them back, and throwing them away.

AMQP shows a queue's messages only by handing them out. So they are taken from the head, looked at and given back, which
leaves them in their order; two who look at one moment see a part each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from pika import BasicProperties, spec

from waybill.driver import DeadLetter, Page

from .channel import Channel
from .failures import LostError, is_missing
from .records import to_dead
from .server import Server
from .storing import order, store

_MOST: Final = 65_535
"""As many as a consumer can be given."""
_AT_ONCE: Final = 1000
_ARRIVING: Final = 0.5
"""Seconds that counted messages may take to come; another may have them."""
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
    seen = await look.at(skip + max(limit, 0) + 1)
    await look.end()
    found = [each.letter for each in seen[skip : skip + limit]]
    return Page(found, str(skip + limit) if len(seen) > skip + limit and limit > 0 else None)


async def retry_dead(server: Server, queue: str, ids: Sequence[str] | None) -> int:
    """Send some back to where they came from, as if they were new."""
    wanted = None if ids is None else set(ids)
    if wanted is not None and not wanted:
        return 0
    look = _Look(server, queue)
    try:
        seen = await look.at(_MOST)
        chosen = [each for each in seen if wanted is None or each.letter.message.id in wanted]
        for start in range(0, len(chosen), _AT_ONCE):
            some = chosen[start : start + _AT_ONCE]
            stored = await store(server, [order(server.names, each.letter.message) for each in some])
            for each, outcome in zip(some, stored, strict=True):
                if outcome is None:
                    look.remove(each)
            for outcome in stored:
                if outcome is not None:
                    raise outcome
    finally:
        await look.end()
    return len(chosen)


class _Look:
    """A look at the head of a queue of dead letters, which nobody else sees meanwhile."""

    def __init__(self, server: Server, queue: str) -> None:
        self._server, self._queue = server, queue
        self._name = server.names.dead(queue)
        self._channel: Channel | None = None
        self._seen: list[_Seen] = []
        self._total = 0

    async def at(self, most: int) -> Sequence[_Seen]:
        """The oldest ones, up to so many."""
        link = await self._server.receiving.link()
        channel = self._channel = await link.channel()
        try:
            self._total = await self._count(channel)
        except LostError as error:
            if is_missing(error):
                return ()
            raise
        wanted = min(self._total, most, _MOST)
        if not wanted:
            return ()
        enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_message(method: spec.Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            self._seen.append(_Seen(method.delivery_tag or 0, to_dead(self._queue, properties, body)))
            if len(self._seen) >= wanted and not enough.done():
                enough.set_result(None)

        tag = await channel.consume(self._name, wanted, on_message)
        await asyncio.wait([enough], timeout=_ARRIVING)
        await channel.cancel(tag)  # first, so that what goes back does not come again
        return tuple(self._seen)

    def remove(self, seen: _Seen) -> None:
        """It is dead no more."""
        assert self._channel is not None
        self._channel.check()
        self._channel.raw.basic_ack(seen.place)
        self._seen.remove(seen)
        self._total -= 1

    async def end(self) -> None:
        """Give back what was looked at, and wait until it is there again, so that the next look finds it."""
        channel = self._channel
        if channel is None or channel.ended is not None:
            return
        if self._seen:
            channel.raw.basic_nack(self._seen[-1].place, multiple=True, requeue=True)
            for _ in range(_LOOKS):
                if await self._count(channel) >= self._total:
                    break
                await asyncio.sleep(_PAUSE)
        await channel.close()

    async def _count(self, channel: Channel) -> int:
        declared = await channel.ask(channel.raw.queue_declare, self._name, passive=True)
        return int(declared.message_count)

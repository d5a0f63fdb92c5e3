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
"""As many a consumer can be given at most."""
_AT_ONCE: Final = 1000
_ARRIVING: Final = 0.5
"""Seconds that counted messages may take to come; another may have them."""


class _Seen(NamedTuple):
    place: int
    letter: DeadLetter


async def list_dead(server: Server, queue: str, after: str | None, limit: int) -> Page[DeadLetter]:
    """A page of them, the oldest first; *after* tells how many were seen before."""
    skip = int(after) if after is not None and after.isdecimal() else 0
    seen, channel = await _see(server, queue, skip + limit + 1)
    if channel is not None:
        await _give_back(channel, seen)
    found = [each.letter for each in seen[skip : skip + limit]]
    return Page(found, str(skip + limit) if len(seen) > skip + limit and limit > 0 else None)


async def retry_dead(server: Server, queue: str, ids: Sequence[str] | None) -> int:
    """Send some back to where they came from, as if they were new."""
    wanted = None if ids is None else set(ids)
    if wanted is not None and not wanted:
        return 0
    seen, channel = await _see(server, queue, _MOST)
    if channel is None:
        return 0
    try:
        chosen = [each for each in seen if wanted is None or each.letter.message.id in wanted]
        restored = 0
        for start in range(0, len(chosen), _AT_ONCE):
            some = chosen[start : start + _AT_ONCE]
            stored = await store(server, [order(server.names, each.letter.message) for each in some])
            for each, outcome in zip(some, stored, strict=True):
                if outcome is None:
                    channel.raw.basic_ack(each.place)
                    restored += 1
            for outcome in stored:
                if outcome is not None:
                    raise outcome
        return restored
    finally:
        await _give_back(channel, [])


async def _see(server: Server, queue: str, most: int) -> tuple[list[_Seen], Channel | None]:
    """The oldest ones, up to so many; they are held by the channel."""
    link = await server.receiving.link()
    channel = await link.channel()
    name = server.names.dead(queue)
    try:
        declared = await channel.ask(channel.raw.queue_declare, name, passive=True)
    except LostError as error:
        if is_missing(error):
            return [], None
        raise
    wanted = min(int(declared.message_count), most, _MOST)
    seen: list[_Seen] = []
    if not wanted:
        await channel.close()
        return [], None
    enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_message(method: spec.Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        seen.append(_Seen(method.delivery_tag or 0, to_dead(queue, properties, body)))
        if len(seen) >= wanted and not enough.done():
            enough.set_result(None)

    tag = await channel.consume(name, wanted, on_message)
    await asyncio.wait([enough], timeout=_ARRIVING)
    await channel.cancel(tag)  # first, so that what goes back does not come again
    return seen, channel


async def _give_back(channel: Channel, seen: Sequence[_Seen]) -> None:
    if seen and channel.ended is None:
        channel.raw.basic_nack(seen[-1].place, multiple=True, requeue=True)
    if channel.ended is None:
        await channel.barrier()
        await channel.close()

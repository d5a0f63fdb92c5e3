"""Counting and purging: what AMQP tells of a queue, and lets be done to all of it."""

from __future__ import annotations

from typing import Any

from waybill.driver import QueueStats

from .channel import Channel
from .failures import LostError, is_missing
from .server import Server


async def stats(server: Server, queue: str) -> QueueStats:
    """What is ready, and what is dead; delayed messages are under way, and of leased ones only their holders know."""
    ready = await count(server, server.names.queue(queue))
    dead = await count(server, server.names.dead(queue))
    return QueueStats(ready=ready, delayed=None, leased=None, dead=dead)


async def count(server: Server, name: str) -> int:
    """Messages ready in a queue; none if there is no such queue."""
    channel = await _channel(server)
    try:
        declared = await channel.ask(channel.raw.queue_declare, name, passive=True)
    except LostError as error:
        if is_missing(error):
            return 0
        raise
    await channel.close()
    return int(declared.message_count)


async def purge(server: Server, name: str) -> int:
    """Remove what is ready in a queue; how many it was."""
    channel = await _channel(server)
    try:
        purged: Any = await channel.ask(channel.raw.queue_purge, name)
    except LostError as error:
        if is_missing(error):
            return 0
        raise
    await channel.close()
    return int(purged.message_count)


async def _channel(server: Server) -> Channel:
    # One of its own: a question for a queue that is not there ends the channel it is asked on.
    link = await server.receiving.link()
    return await link.channel()

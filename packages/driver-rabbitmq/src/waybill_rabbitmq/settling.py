"""Acks of one channel, grouped: each group is followed by a question, as its answer proves that they were heard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from .channel import Channel

_FRESH: Final = 1.0  # seconds
_SINKING: Final = 0.1  # seconds


class _Group:
    def __init__(self) -> None:
        self.done: set[int] = set()
        self.back: list[int] = []
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Settling:
    """What was pushed over a channel, and is to be acked or given back.

    Args:
        channel: the channel.
        before: called before anything is sent.
    """

    def __init__(self, channel: Channel, before: Callable[[], Awaitable[None]]) -> None:
        self._channel, self._before = channel, before
        self._open: dict[int, None] = {}
        """Places, in the order in which they came."""
        self._group: _Group | None = None
        self._written = float("-inf")
        self._writing: asyncio.Task[None] | None = None

    def came(self, place: int) -> None:
        """A message has come in."""
        self._open[place] = None

    def done(self, places: Sequence[int]) -> asyncio.Future[None]:
        """Ack, whether or not somebody waits for the server to have heard it; the end of that.

        Raises:
            LostError: the channel has ended, or ends; it may have happened.
        """
        group = self._collect()
        group.done.update(places)
        return asyncio.shield(group.heard)

    def back(self, places: Sequence[int]) -> asyncio.Future[None]:
        """Give back, each to its place in the queue; the server counts that as a delivery.

        Raises:
            LostError: the channel has ended, or ends; then it has happened anyway.
        """
        group = self._collect()
        group.back += places
        return asyncio.shield(group.heard)

    async def sink_in(self) -> None:
        """Wait until the queue has what was settled just now.

        A channel keeps acks that come fast for a while before a quorum queue gets them, and ends without them.
        """
        if asyncio.get_running_loop().time() - self._written < _FRESH:
            await asyncio.sleep(_SINKING)
            await self._channel.barrier()

    def _collect(self) -> _Group:
        self._channel.check()
        if self._group is None:
            self._group = _Group()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_groups())
        return self._group

    async def _write_groups(self) -> None:
        # While an answer is on its way the next group gathers, so that a busy channel asks seldom.
        while self._group is not None:
            group, self._group = self._group, None
            try:
                await self._before()
                self._write(group)
                await self._channel.barrier()
            except Exception as error:
                group.heard.set_exception(error)
                group.heard.exception()
            else:
                group.heard.set_result(None)

    def _write(self, group: _Group) -> None:
        self._channel.check()
        self._written = asyncio.get_running_loop().time()
        raw = self._channel.raw
        for place in group.back:
            del self._open[place]
            raw.basic_nack(place, requeue=True)
        last = 0
        for place in self._open:  # all up to the last one that has none before it which is still out
            if place not in group.done:
                break
            last = place
        if last:
            raw.basic_ack(last, multiple=True)
        for place in sorted(group.done):
            del self._open[place]
            if place > last:
                raw.basic_ack(place)

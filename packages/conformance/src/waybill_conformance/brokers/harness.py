"""A harness whose broker is started for it: an author adds `open`, and has every power."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import ClassVar

from ..harness import Direction, Harness
from .broker import Broker
from .kind import BrokerKind
from .starting import reach, start


class BrokerHarness(Harness):
    """Starts a broker at the first `open`, and ends it after the last case; `--url` names one that runs already."""

    broker: ClassVar[str | BrokerKind]
    """What to give to `start`: "redis", or a kind of one's own."""

    def __init__(self) -> None:
        self._running: Broker | None = None
        self._lent: str | None = None

    async def address(self) -> str:
        """The URL of the broker, which is started if it is not running."""
        if self.url is not None and self._running is None:
            self.without = frozenset({"restart", "pause", "cut", "network"})
            return self.url
        if self._running is None:
            self._running = await asyncio.to_thread(self._start)
            self.url = self._running.url
            if self._running.how == "url":
                self.without = frozenset({"restart", "pause"})
        return self._running.url

    async def share(self) -> str | None:
        if self.url is not None:
            return None  # all of them are told of it anyway
        await self.address()
        return self._served.direct_url if self._served.how != "url" else None

    def borrow(self, url: str) -> None:
        self._lent = url

    def _start(self) -> Broker:
        # What is lent is behind a proxy of this process's own: whatever is cut there, nobody else feels it.
        return start(self.broker) if self._lent is None else reach(self.broker, self._lent)

    async def close(self) -> None:
        if self._running is not None:
            await asyncio.to_thread(self._running.stop)

    async def restart(self) -> None:
        await asyncio.to_thread(self._served.restart)

    async def pause(self) -> None:
        await asyncio.to_thread(self._served.pause)

    async def resume(self) -> None:
        await asyncio.to_thread(self._served.resume)

    async def cut(self) -> None:
        await asyncio.to_thread(self._served.cut)

    async def sever(self, number: int, direction: Direction) -> None:
        self._served.proxy.cut_after(messages=number, direction=direction)

    async def slow(self, delay: timedelta) -> None:
        for way in (self._served.proxy.up, self._served.proxy.down):
            way.delay = delay

    async def heal(self) -> None:
        self._served.proxy.heal()

    @property
    def _served(self) -> Broker:
        if self._running is None:
            raise RuntimeError("the broker that --url names is not this harness's to stop or cut")
        return self._running

"""The pulls of one receive, and waiting for what comes of them."""

from __future__ import annotations

import asyncio
import time

from .pull import Pull, Puller, Raw
from .topology import Lane


class Catch:
    """Whatever comes of it is taken by `land`, or goes back: nothing is left on the way."""

    def __init__(self, puller: Puller) -> None:
        self._puller = puller
        self._pulls: list[Pull] = []
        self._waiter: asyncio.Future[None] | None = None

    @property
    def longest(self) -> float:
        """Seconds that a pull may wait."""
        return self._puller.longest

    @property
    def count(self) -> int:
        return sum(len(pull.messages) for pull in self._pulls)

    async def begin(self, lane: Lane, batch: int, wait: float | None = None) -> Pull:
        """Send a pull; without *wait* (seconds) it takes what is there."""
        pull = Pull(lane, batch, self._changed)
        self._pulls.append(pull)
        await self._puller.begin(pull, wait)
        return pull

    async def change(self, until: float) -> bool:
        """Wait until something has come or ended; False: not by then.

        Raises:
            LostError: the connection has ended.
        """
        self._waiter = asyncio.get_running_loop().create_future()
        self._puller.link.follow(self._waiter)
        await asyncio.wait([self._waiter], timeout=max(until - time.monotonic(), 0))
        if not self._waiter.done():
            self._waiter.cancel()
            return False
        self._waiter.result()
        return True

    def land(self) -> list[Raw]:
        """What came, in the order of the pulls; those that are still open are withdrawn."""
        return [raw for pull in self._pulls for raw in pull.leave()]

    def _changed(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

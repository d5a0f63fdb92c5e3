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
        self._waiter: asyncio.Future[bool] | None = None

    @property
    def longest(self) -> float:
        """Seconds that a pull may wait."""
        return self._puller.longest

    @property
    def count(self) -> int:
        return sum(len(pull.messages) for pull in self._pulls)

    def waiting(self, lane: Lane, batch: int) -> Pull | None:
        """A pull that waits at the lane: of this receive, or since the last one, with what came of it meanwhile."""
        for pull in self._pulls:
            if pull.lane is lane and pull.waits and not pull.over:
                return pull
        pull = Pull(lane, batch, self._changed)
        if not self._puller.take_over(pull):
            return None
        self._pulls.append(pull)
        return pull

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
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool]
        waiter = self._waiter = loop.create_future()
        self._puller.link.follow(waiter)
        timer = loop.call_later(max(until - time.monotonic(), 0), _tell, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()

    def land(self, limit: int | None = None) -> list[Raw]:
        """What came, in the order of the pulls, *limit* at most; the rest is left to the next receive."""
        raws: list[Raw] = []
        for pull in self._pulls:
            raws += pull.leave(None if limit is None else limit - len(raws))
        return raws

    def _changed(self) -> None:
        if self._waiter is not None:
            _tell(self._waiter, True)


def _tell(waiter: asyncio.Future[bool], changed: bool) -> None:  # noqa: FBT001
    if not waiter.done():
        waiter.set_result(changed)

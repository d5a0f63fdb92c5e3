"""From when on a worker has lived without a gap: what fell due before is caught up, what fell due since is fired."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ..timing import Clock
from .book import Book

TTL: Final = timedelta(seconds=30)
"""How long a worker that gives no sign is taken to live: until then nothing that fell due counts as missed."""


class Presence:
    """The sign of life of one worker, which takes over the time that the others have lived when it came."""

    def __init__(self, book: Book, worker: str, clock: Clock) -> None:
        self._book, self._worker, self._clock = book, worker, clock
        self._signed: datetime | None = None
        self.since = clock.now()

    async def begin(self) -> None:
        """Look who lives."""
        self.since = min([self._clock.now(), *(await self._others()).values()])

    async def renew(self) -> None:
        """Give the next sign, if it is time."""
        now = self._clock.now()
        if self._signed is not None and now - self._signed < TTL / 3:
            return
        if self._signed is not None and now - self._signed > TTL:
            await self.begin()  # this worker itself was away: suspended, or without its broker
        await self._book.sign(self._worker, self.since, TTL)
        self._signed = now

    async def end(self) -> None:
        """The worker stops in good order: nobody has to wait until its sign has run out."""
        if self._signed is not None:
            self._signed = None
            await self._book.sign_off(self._worker)

    async def _others(self) -> dict[str, datetime]:
        signs = await self._book.signs()
        signs.pop(self._worker, None)
        return signs

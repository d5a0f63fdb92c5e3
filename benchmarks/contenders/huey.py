"""huey on SQLite: its consumer with one thread (its best on one file), and its own defaults otherwise.

Those are WAL, and SQLite's own synchronous=FULL: each of its commits waits for the disk, on the caller's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from huey import SqliteHuey
from huey.consumer import Consumer

import benchmarks.contender as base
from benchmarks.contender import Place, tally


class Contender(base.Contender):
    module = "huey"
    blocking = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._huey = SqliteHuey(filename=place.url.removeprefix("sqlite:///"), results=False)

        @self._huey.task(name="nothing")
        def nothing(payload: dict[str, Any]) -> None:
            tally.finished()

        @self._huey.task(name="stamp")
        def stamp(due: float) -> None:
            tally.began(due)

        self._nothing, self._stamp = nothing, stamp

    def send(self, payload: dict[str, Any]) -> None:
        self._nothing(payload)

    def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        # It has no bulk call: a loop is what its users write. Its tasks are plain functions in any case.
        for _ in range(count):
            self._nothing(payload)

    def send_stamp(self, due: float, delay: float) -> None:
        if delay:
            self._stamp.schedule((due,), delay=delay)
        else:
            self._stamp(due)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        consumer = Consumer(self._huey, workers=1, initial_delay=0.01, backoff=1.15, max_delay=0.02)
        consumer.start()
        yield
        await asyncio.to_thread(consumer.stop, graceful=True)

"""A file, opened twice: by one thread that writes, and by another that answers questions meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

from waybill.errors import BrokerUnavailableError
from waybill.timing import Clock

from .actor import Actor
from .failures import EXPECTED, UnansweredError, while_calling, while_opening
from .opening import open_to_read, open_to_write
from .options import SqliteOptions
from .store import Store
from .waiting import Waiting

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_CHUNK: Final = 2000  # rows that a purge removes in one transaction, so that others get their turn


class Database:
    """What the verbs of the driver are called on. It belongs to the running loop."""

    def __init__(self, path: str, options: SqliteOptions, clock: Clock) -> None:
        self.path = path
        self.options, self.clock = options, clock
        self.waiting = Waiting(options)
        self.writer = Actor("waybill-sqlite", self._open_to_write, options.timeout, self.waiting)
        self.reader = Actor("waybill-sqlite-reader", self._open_to_read, options.timeout)

    @property
    def closing(self) -> bool:
        return self.writer.closing

    async def open(self) -> None:
        """Open the file; the second connection waits for the first question.

        Raises:
            ConfigurationError: it cannot be used as it is.
            BrokerUnavailableError: it is locked.
        """
        try:
            await self.writer.start()
        except BaseException as error:
            await self.writer.stop(patient=not isinstance(error, UnansweredError))
            if isinstance(error, EXPECTED):
                raise while_opening(error, self.path) from error
            raise

    async def close(self) -> None:
        """End what is under way and refuse what is not; a waiting receive looks again, and meets that."""
        self.writer.refuse()
        self.reader.refuse()
        self.waiting.wake(None)
        await asyncio.gather(self.writer.stop(), self.reader.stop())

    async def write(
        self, verb: Callable[[Store, *Ts], T], *arguments: *Ts, undo: Callable[[T], object] | None = None
    ) -> T:
        try:
            return await self.writer.call(verb, *arguments, undo=undo)
        except EXPECTED as error:
            raise while_calling(error, self.path, verb.__name__) from error

    async def read(self, verb: Callable[[Store, *Ts], T], *arguments: *Ts) -> T:
        try:
            return await self.reader.call(verb, *arguments)
        except EXPECTED as error:
            raise while_calling(error, self.path, verb.__name__) from error

    async def write_in_chunks(self, verb: Callable[[Store, *Ts, int], int], *arguments: *Ts) -> int:
        """Call *verb* until it finds nothing more, each time in a transaction of its own; the sum."""
        loop = asyncio.get_running_loop()
        seconds = self.options.timeout.total_seconds()
        deadline = loop.time() + seconds
        total = 0
        while done := await self.write(verb, *arguments, _CHUNK):
            total += done
            if loop.time() > deadline:
                raise BrokerUnavailableError(
                    f"{verb.__name__} on {self.path}: {total:,} are done and some are left after {seconds:g} s. "
                    "Call it again, or give timeout=60s."
                )
        return total

    def _open_to_write(self, patient: Callable[[], bool]) -> Store:
        self.path = os.path.realpath(self.path)  # the working directory may change
        return open_to_write(self.path, self.options, self.clock, patient)

    def _open_to_read(self, patient: Callable[[], bool]) -> Store:
        return open_to_read(self.path, self.options, self.clock)

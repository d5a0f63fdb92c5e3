"""Receivers that wait, and all that ends their wait: this driver's commits, other processes', and time.

Methods marked *thread* are called on the actor's thread, all others on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import time
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Final

from waybill.errors import ConfigurationError
from waybill.timing import ZERO, Clock

from .bell import ALL, Bell, directory_for
from .options import SqliteOptions
from .store import Store

SAFETY: Final = 1.0
"""Seconds after which a waiting driver looks whether it missed a datagram."""


class Waiter:
    """One receive that waits."""

    def __init__(self, queues: Collection[str]) -> None:
        self.queues = queues
        self.changed = asyncio.Event()

    async def wait(self, clock: Clock, longest: timedelta) -> None:
        """Until something has changed, or *longest* has passed."""
        timer = clock.call_later(max(longest, ZERO), self.changed.set)
        try:
            await self.changed.wait()
        finally:
            timer.cancel()
        self.changed.clear()


class Waiting:
    """The waiting receivers of one driver."""

    def __init__(self, options: SqliteOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiters: set[Waiter] = set()
        self._options = options
        self._bell: Bell | None = None
        self._ears: socket.socket | None = None
        self.how: str | None = None
        """How it learns of other processes' commits; None: nobody has waited yet."""
        self._version = 0
        self._looked = 0.0

    def add(self, queues: Collection[str]) -> Waiter:
        waiter = Waiter(queues)
        self._waiters.add(waiter)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        self._waiters.discard(waiter)

    def wake(self, queues: Iterable[str] | None, *, but: Waiter | None = None) -> None:
        """End the wait for these queues; None: for all."""
        for waiter in self._waiters:
            if waiter is not but and (queues is None or not set(waiter.queues).isdisjoint(queues)):
                waiter.changed.set()

    # -- other processes -------------------------------------------------------------------------------

    def listen(self, store: Store) -> None:
        """*thread*: Begin to learn of other processes' commits.

        Raises:
            ConfigurationError: `wake=socket`, and there can be none.
        """
        if self.how is not None:
            return
        self._version = store.version()
        self.how = f"polling every {self._options.poll / timedelta(milliseconds=1):g} ms"
        if self._options.wake == "poll":
            return
        try:
            self._ears = self._bell_of(store).listen()
        except OSError as error:
            if self._options.wake == "socket":
                self.how = None
                raise ConfigurationError(
                    f"wake=socket, and no socket can be made beside {store.path}: {error}. "
                    "Use wake=auto or wake=poll, or let this user write to the directory."
                ) from error
            self.how += f", as no socket can be made ({error})"
        else:
            self.how = "unix datagram socket"
            self._loop.call_soon_threadsafe(self._loop.add_reader, self._ears, self._hear, self._ears)

    def announce(self, store: Store, queues: set[str]) -> None:
        """*thread*: These queues were changed and committed."""
        self._bell_of(store).ring(queues)
        if self._waiters:
            self._loop.call_soon_threadsafe(self.wake, queues)

    def interval(self) -> float | None:
        """*thread*: How often to `glance`; None: nobody waits."""
        if not self._waiters:
            return None
        return SAFETY if self._ears is not None else self._options.poll.total_seconds()

    def glance(self, store: Store) -> None:
        """*thread*: See whether others have committed, if it is time to."""
        interval, now = self.interval(), time.monotonic()
        if interval is None or now - self._looked < interval:
            return
        self._looked = now
        try:
            version = store.version()
        except sqlite3.Error:
            version = -1  # whoever is woken meets it again, and tells
        if version != self._version:
            self._version = version
            self._loop.call_soon_threadsafe(self.wake, None)

    def _bell_of(self, store: Store) -> Bell:
        if self._bell is None:
            self._bell = Bell(directory_for(store.path))
        return self._bell

    def _hear(self, ears: socket.socket) -> None:
        queues: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                datagram = ears.recv(65_536)
                if datagram == ALL:
                    self.wake(None)
                queues.update(datagram.decode(errors="replace").split("\n"))
        self.wake(queues)

    # -- the end ---------------------------------------------------------------------------------------

    def deafen(self) -> None:
        """Listen no more; the actor has nothing under way."""
        if self._ears is not None:
            self._loop.remove_reader(self._ears)

    def close(self) -> None:
        """*thread*: Leave nothing behind."""
        if self._bell is not None:
            self._bell.close()
        if self._ears is not None:
            self._ears.close()

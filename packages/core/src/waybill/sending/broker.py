"""Where a service's messages go: a URL, a factory or a driver, and its open connection on each event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeAlias, cast
from weakref import WeakKeyDictionary, WeakSet

from ..driver import Clones, QueueDriver
from ..drivers import open_driver
from ..errors import ConfigurationError, DriverClosedError
from ..timing import Clock
from ..url import BrokerUrl
from .connection import Connection

Source: TypeAlias = str | QueueDriver | Callable[[], QueueDriver]
"""A URL, a driver, or a function of no arguments that makes one."""


_open: Final[WeakSet[Connection]] = WeakSet()
"""Every open connection: one driver object may serve several services, and the last one closes it."""


def _in_use(driver: QueueDriver) -> bool:
    return any(each.driver is driver for each in _open)


def driver_object(source: object) -> QueueDriver | None:
    """The source itself, where it is a driver rather than a URL, a factory or a driver's class."""
    return cast("QueueDriver", source) if hasattr(source, "receive") and not isinstance(source, type) else None


class Broker:
    """One source of drivers. A driver belongs to the loop that opened it, so every loop gets its own connection.

    Args:
        source: a URL or factory serves any number of loops; a driver serves one, unless it says `any_loop`.
        clock: the connections' clock.
        enqueue_timeout: how long, from its first try, a connection repeats an enqueue with an unknown outcome.
    """

    def __init__(self, source: Source, clock: Clock, enqueue_timeout: timedelta) -> None:
        if not isinstance(source, str) and not callable(source) and driver_object(source) is None:
            raise ConfigurationError(f"{source!r} is no broker: pass a URL, a driver, or a function that makes one")
        self.source = source
        self._clock, self._enqueue_timeout = clock, enqueue_timeout
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, Connection] = WeakKeyDictionary()
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._first: QueueDriver | None = None
        self._closed: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def __str__(self) -> str:
        """The URL without its secrets, or the driver."""
        if not isinstance(self.source, str):
            return repr(self.source)
        try:
            return str(BrokerUrl.parse(self.source))
        except ConfigurationError:
            return "a malformed URL"

    @property
    def connected(self) -> Connection | None:
        """This loop's open connection."""
        return self._connections.get(asyncio.get_running_loop())

    async def connect(self, *, reopen: bool = False) -> Connection:
        """This loop's connection, opened if there is none.

        Raises:
            DriverClosedError: the service was closed; `reopen` opens it again.
            ConfigurationError, BrokerUnavailableError: what the driver says.
        """
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is not None:
            return connection
        if loop in self._closed and not reopen:
            raise DriverClosedError("the service is closed; nothing was sent. Open it again with service.open()")
        async with self._locks.setdefault(loop, asyncio.Lock()):
            connection = self._connections.get(loop)
            if connection is None:
                driver = await self._driver_for(loop)
                try:
                    await driver.open()
                except BaseException:
                    if not _in_use(driver):
                        await driver.close()
                    raise
                connection = self._connections[loop] = Connection(driver, self._clock, self._enqueue_timeout)
                _open.add(connection)
            self._closed.discard(loop)
            return connection

    async def close(self, *, for_good: bool) -> None:
        """Close this loop's connection; *for_good*: until it is opened again, verbs are refused here."""
        loop = asyncio.get_running_loop()
        if for_good:
            self._closed.add(loop)
        connection = self._connections.pop(loop, None)
        if connection is not None:
            _open.discard(connection)
            await connection.close(leave_open=_in_use(connection.driver))

    def known_driver(self) -> QueueDriver | None:
        """A driver whose promises are known without I/O."""
        for connection in list(self._connections.values()):
            return connection.driver
        driver = driver_object(self.source)
        return driver if driver is not None and getattr(driver, "any_loop", False) else None

    async def _driver_for(self, loop: asyncio.AbstractEventLoop) -> QueueDriver:
        first = self._first
        if first is not None and getattr(first, "any_loop", False):
            serves = any(each.driver is first for each in list(self._connections.values()))
            return first.clone() if serves and isinstance(first, Clones) else first
        self._first = await self._make_driver(loop)
        return self._first

    async def _make_driver(self, loop: asyncio.AbstractEventLoop) -> QueueDriver:
        source = self.source
        if isinstance(source, str):
            # Looking for entry points and importing a package read files, which must not hold up the loop.
            return await asyncio.to_thread(open_driver, source)
        driver = driver_object(source)
        if driver is None:
            return cast("Callable[[], QueueDriver]", source)()
        here = (os.getpid(), loop)
        if self._owner in (None, here):
            self._owner = here
            return driver
        raise ConfigurationError(
            "this service was given an open driver, which belongs to the event loop that opened it; "
            "pass a URL or a factory (JobService('sqlite:///jobs.db')) to use the service from here as well"
        )

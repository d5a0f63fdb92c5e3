"""Where a service's messages go: a URL, a factory or a driver, and its open connection on each event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias, cast
from weakref import WeakKeyDictionary, WeakSet

from ..driver import Capabilities, Clones, QueueDriver
from ..drivers import open_driver
from ..errors import ConfigurationError, DriverClosedError
from ..timing import Clock
from ..url import BrokerUrl
from .connection import Connection

Source: TypeAlias = str | QueueDriver | Callable[[], QueueDriver]
"""A URL, a driver, or a function of no arguments that makes one."""


class Broker:
    """One source of drivers. A driver belongs to the loop that opened it, so every loop gets its own connection.

    Args:
        source: a URL or factory serves any number of loops; a driver serves one, unless it says `any_loop`.
        clock: the connections' clock.
        enqueue_timeout: how long a connection repeats an enqueue with an unknown outcome.
    """

    def __init__(self, source: Source, clock: Clock, enqueue_timeout: timedelta) -> None:
        self.source = source
        self._clock, self._enqueue_timeout = clock, enqueue_timeout
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, Connection] = WeakKeyDictionary()
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._closed: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def __str__(self) -> str:
        """The URL without its secrets, or the driver."""
        return str(BrokerUrl.parse(self.source)) if isinstance(self.source, str) else repr(self.source)

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
                    await driver.close()
                    raise
                connection = self._connections[loop] = Connection(driver, self._clock, self._enqueue_timeout)
            self._closed.discard(loop)
            return connection

    async def close(self, *, for_good: bool) -> None:
        """Close this loop's connection; *for_good*: until it is opened again, verbs are refused here."""
        loop = asyncio.get_running_loop()
        if for_good:
            self._closed.add(loop)
        connection = self._connections.pop(loop, None)
        if connection is not None:
            await connection.close()

    def known_capabilities(self) -> Capabilities | None:
        """What the broker promises, where that is known without I/O."""
        for connection in list(self._connections.values()):
            return connection.capabilities
        if isinstance(self.source, str) or not getattr(self.source, "any_loop", False):
            return None
        return cast("QueueDriver", self.source).capabilities

    async def _driver_for(self, loop: asyncio.AbstractEventLoop) -> QueueDriver:
        source = self.source
        if isinstance(source, str):
            # Looking for entry points and importing a package read files, which must not hold up the loop.
            return await asyncio.to_thread(open_driver, source)
        if callable(source) and not hasattr(source, "receive"):
            return source()
        driver = cast("QueueDriver", source)
        here = (os.getpid(), loop)
        if self._owner in (None, here):
            self._owner = here
            return driver
        if getattr(driver, "any_loop", False) and isinstance(driver, Clones):
            return driver.clone()
        raise ConfigurationError(
            "this service was given an open driver, which belongs to the event loop that opened it; "
            "pass a URL or a factory (JobService('sqlite:///jobs.db')) to use the service from here as well"
        )

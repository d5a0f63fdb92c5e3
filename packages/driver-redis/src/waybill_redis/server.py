"""One server: scripts to call, each within its time, over a link that is made when needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from waybill.errors import ConfigurationError

from .address import Address
from .failures import LostError, UnansweredError, UnsafeError, closed
from .link import Link, Undo, answer_of
from .options import RedisOptions
from .packing import pack, pack_call
from .scripts import Script

_PATIENCE: Final = 1.0
"""Seconds that closing waits for answers that are under way."""


class Server:
    """One server, which has all keys or, in a cluster, some of them; used from the loop that opened it."""

    def __init__(self, address: Address, options: RedisOptions) -> None:
        self.address, self.options = address, options
        self.where = address.where
        self.closing = False
        self._seconds = options.timeout.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._link: Link | None = None
        self._links: set[Link] = set()
        self._connecting = asyncio.Lock()

    def check_caller(self) -> None:
        if self.closing:
            raise closed()
        if asyncio.get_running_loop() is not self._loop or os.getpid() != self._process:
            raise ConfigurationError(
                "a Redis driver belongs to the event loop and the process that opened it, and this is another. "
                "Pass a URL or a factory, so that each gets its own."
            )

    def together(self, queues: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(queues)]

    async def servers(self) -> Sequence[Server]:
        return (self,)

    async def connect(self, key: str = "") -> Link:
        return await self._in_time(self._loop.time() + self._seconds, self._new_link())

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Iterable[bytes | str | int],
        *,
        undo: Undo | None = None,
        safely: bool = False,
        seconds: float | None = None,
    ) -> Any:
        by_digest, whole = pack_call(script, keys, arguments)
        until = self._loop.time() + (self._seconds if seconds is None else seconds)
        return await self._ask(by_digest, until, whole, undo, safely=safely)

    async def ask(self, *command: bytes | str | int) -> Any:
        """The answer to a plain command."""
        return await self._ask(pack(*command), self._loop.time() + self._seconds)

    def post(self, script: Script, keys: Sequence[str], arguments: Iterable[bytes | str | int]) -> None:
        if self._link is not None and not self._link.ended:
            by_digest, whole = pack_call(script, keys, arguments)
            self._link.send(by_digest, self._loop.time() + self._seconds, fallback=whole)

    async def close(self) -> None:
        self.closing = True
        # Links of those who wait go first: what they were given meanwhile is put back over the one that calls take.
        links, self._links = self._links, set()
        await asyncio.gather(*(link.close(_PATIENCE) for link in links if link is not self._link))
        if self._link is not None:
            await self._link.close(_PATIENCE)

    async def _ask(
        self,
        command: bytes,
        until: float,
        fallback: Callable[[], bytes] | None = None,
        undo: Undo | None = None,
        *,
        safely: bool = False,
    ) -> Any:
        self.check_caller()
        link = self._link
        try:
            if link is None or link.ended:
                link = await self._in_time(until, self._ready_link())
            result = await answer_of(link.send(command, until, undo=undo, fallback=fallback), undo)
            if safely:
                await self._wait_until_safe(link, until)
            return result
        except LostError as error:
            if self.closing:
                raise closed() from error
            raise

    async def _wait_until_safe(self, link: Link, until: float) -> None:
        """Of all that this link has written: it is on as many replicas, and on disk, as the options say."""
        patience, replicas = int(self._seconds * 500), self.options.wait_replicas
        if replicas and (found := await link.send(pack("WAIT", replicas, patience), until)) < replicas:
            raise UnsafeError(f"{found} of {replicas} replicas have confirmed it")
        if self.options.wait_fsync and (await link.send(pack("WAITAOF", 1, 0, patience), until))[0] < 1:
            raise UnsafeError("the server has not confirmed that it is on disk")

    async def _ready_link(self) -> Link:
        async with self._connecting:
            if self._link is None or self._link.ended:
                self._link = await self._new_link()
            return self._link

    async def _new_link(self) -> Link:
        link = Link(await self.address.connection(self._seconds))
        await link.open()
        if self.closing:
            await link.close(0)
            raise closed()
        self._links = {each for each in self._links if not each.ended} | {link}
        return link

    async def _in_time(self, until: float, connecting: Awaitable[Link]) -> Link:
        begun = self._loop.time()
        limit = asyncio.timeout_at(until)
        try:
            async with limit:
                return await connecting
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise UnansweredError(until - begun, sent=False) from error

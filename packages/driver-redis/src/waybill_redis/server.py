"""The server as the verbs see it: scripts to call, each within its time, over a link that is made when needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from waybill.errors import ConfigurationError

from .address import Address
from .failures import LostError, UnansweredError, UnsafeError, closed
from .link import Link, Undo
from .options import RedisOptions
from .scripts import Script

_Command: TypeAlias = Sequence[bytes | str | int]
_PATIENCE: Final = 1.0
"""Seconds that closing waits for answers that are under way."""


class Server:
    """One server, used from the loop that opened it."""

    def __init__(self, address: Address, options: RedisOptions) -> None:
        self.address, self.options = address, options
        self.closing = False
        self._seconds = options.timeout.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._link: Link | None = None
        self._links: set[Link] = set()
        self._connecting = asyncio.Lock()

    def check_caller(self) -> None:
        """Refuse who cannot use this connection.

        Raises:
            DriverClosedError, ConfigurationError: it is closed; or it belongs to another loop or process.
        """
        if self.closing:
            raise closed()
        if asyncio.get_running_loop() is not self._loop or os.getpid() != self._process:
            raise ConfigurationError(
                "a Redis driver belongs to the event loop and the process that opened it, and this is another. "
                "Pass a URL or a factory, so that each gets its own."
            )

    async def connect(self) -> Link:
        """A new link."""
        link = Link(await self.address.connection(self._seconds))
        await link.open()
        if self.closing:
            await link.close(0)
            raise closed()
        self._links = {each for each in self._links if not each.ended} | {link}
        return link

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Iterable[bytes | str | int],
        *,
        undo: Undo | None = None,
        safely: bool = False,
    ) -> Any:
        """The answer of a script; *undo* gets one that came when its caller had been cancelled.

        Args:
            script: to run.
            keys: of one slot.
            arguments: of the script.
            undo: what to do with an answer that nobody waits for any more.
            safely: the answer is not given before what the script wrote is where the options want it.

        Raises:
            redis.RedisError, OSError, LostError, UnansweredError, UnsafeError: see failures.py.
            DriverClosedError: the driver was closed meanwhile.
        """
        by_digest, whole = _commands(script, keys, arguments)
        return await self._ask(by_digest, whole, undo, safely=safely)

    async def ask(self, *command: bytes | str | int) -> Any:
        """The answer to a plain command."""
        return await self._ask(command, (), None)

    def post(self, script: Script, keys: Sequence[str], arguments: Iterable[bytes | str | int]) -> None:
        """Run a script while there is a link, and wait for nothing."""
        if self._link is not None and not self._link.ended:
            by_digest, whole = _commands(script, keys, arguments)
            self._link.send(*by_digest, fallback=whole)

    async def close(self) -> None:
        self.closing = True
        links, self._links = self._links, set()
        await asyncio.gather(*(link.close(_PATIENCE) for link in links))

    async def _ask(self, command: _Command, fallback: _Command, undo: Undo | None, *, safely: bool = False) -> Any:
        self.check_caller()
        link: Link | None = None
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                made = await self._ready_link()
                answer = made.send(*command, undo=undo, fallback=fallback)
                link = made
                result = await _get(answer, undo)
                if safely:
                    await self._wait_until_safe(link)
                return result
        except LostError as error:
            if self.closing:
                raise closed() from error
            raise
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = UnansweredError(self._seconds, sent=link is not None)
            if link is not None:  # its answers would come too late for others as well
                link.end(late)
            raise late from error

    async def _wait_until_safe(self, link: Link) -> None:
        """Of all that this link has written: it is on as many replicas, and on disk, as the options say."""
        patience, replicas = int(self._seconds * 500), self.options.wait_replicas
        if replicas and (found := await link.send("WAIT", replicas, patience)) < replicas:
            raise UnsafeError(f"{found} of {replicas} replicas have confirmed it")
        if self.options.wait_fsync and (await link.send("WAITAOF", 1, 0, patience))[0] < 1:
            raise UnsafeError("the server has not confirmed that it is on disk")

    async def _ready_link(self) -> Link:
        async with self._connecting:
            if self._link is None or self._link.ended:
                self._link = await self.connect()
            return self._link


def _commands(script: Script, keys: Sequence[str], arguments: Iterable[bytes | str | int]) -> tuple[_Command, _Command]:
    """How to run a script that the server knows, and one that it does not."""
    rest = (len(keys), *keys, *arguments)
    return ("EVALSHA", script.digest, *rest), ("EVAL", script.text, *rest)


async def _get(answer: asyncio.Future[Any], undo: Undo | None) -> Any:
    try:
        return await answer
    except asyncio.CancelledError:
        if undo is not None and not answer.cancelled() and answer.exception() is None:
            undo(answer.result())  # the answer came together with the cancellation
        raise

"""One connection that carries many calls at once: answers come in the order in which the calls were sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from .failures import LostError, code_of, ends_the_link

Undo = Callable[[Any], object]


class _Call(NamedTuple):
    """One command under way."""

    future: asyncio.Future[Any]
    undo: Undo | None
    """What to do with an answer that nobody waits for any more."""
    fallback: Callable[[], bytes] | None = None
    """What to send if the server does not know the script, in which case nothing has happened."""


class Link:
    """A connection, and the task that reads the answers."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.ended = False
        self._connection = connection
        self._calls: deque[_Call] = deque()
        self._outgoing: list[bytes] = []
        self._idle = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            self.ended = True
            await self._hang_up()
            raise
        self._reading = asyncio.get_running_loop().create_task(self._read())

    def send(
        self, command: bytes, *, undo: Undo | None = None, fallback: Callable[[], bytes] | None = None
    ) -> asyncio.Future[Any]:
        """Let a command leave; the future is its answer.

        Raises:
            LostError: the connection has ended, and nothing left.
        """
        if self.ended:
            raise LostError("the connection has ended", sent=False)
        self._write(command)
        self._idle.clear()
        future = asyncio.get_running_loop().create_future()
        self._calls.append(_Call(future, undo, fallback))
        return future

    def end(self, error: Exception) -> None:
        """Fail what is under way, and take no more."""
        self.ended = True
        calls, self._calls = self._calls, deque()
        for call in calls:
            _fail(call.future, error)
        self._idle.set()
        if self._reading is not None:
            self._reading.cancel()

    async def close(self, patience: float) -> None:
        """Wait for the answers that are under way, and hang up."""
        if self._calls:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._idle.wait()
        self.end(LostError("the driver was closed", sent=True))
        if self._reading is not None:
            await asyncio.wait([self._reading])
        await self._hang_up()

    async def _hang_up(self) -> None:
        with contextlib.suppress(Exception):
            await self._connection.disconnect(nowait=True)

    def _write(self, command: bytes) -> None:
        """A lone call leaves at once, and while others are under way all of one turn of the loop leave together."""
        self._outgoing.append(command)
        if not self._calls:
            self._flush()
        elif len(self._outgoing) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        packed, self._outgoing = self._outgoing, []
        writer = self._connection._writer  # noqa: SLF001 - its own way there costs a task's turn
        if packed and writer is not None and not self.ended:  # else: those who wait have been told
            writer.write(b"".join(packed))

    async def _read(self) -> None:
        try:
            while True:
                try:
                    answer = await self._connection.read_response(disable_decoding=True, disconnect_on_error=False)
                except exceptions.RedisError as error:
                    if isinstance(error, exceptions.ConnectionError) and code_of(error) is None:
                        raise
                    answer = error
                self._answer(answer)
        except (exceptions.RedisError, OSError, LookupError) as error:
            self.end(LostError(str(error), sent=True))
        finally:
            await self._hang_up()

    def _answer(self, answer: Any) -> None:
        future, undo, fallback = self._calls.popleft()
        if isinstance(answer, exceptions.NoScriptError) and fallback is not None:  # a new server, or SCRIPT FLUSH
            self._write(fallback())
            self._calls.append(_Call(future, undo))
        elif isinstance(answer, Exception):
            _fail(future, answer)
            if ends_the_link(answer):
                self.end(LostError("the connection is given up, as this server refuses", sent=True))
        elif not future.done():
            future.set_result(answer)
        elif undo is not None:
            undo(answer)
        if not self._calls:
            self._idle.set()


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # who waits for it sees it; if nobody does, that is no fault

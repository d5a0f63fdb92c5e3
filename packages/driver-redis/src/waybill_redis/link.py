"""One connection that carries many calls at once: answers come in the order in which the calls were sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
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
    fallback: Sequence[Any] = ()
    """What to send if the server does not know the script, in which case nothing has happened."""


class Link:
    """A connection, the task that writes what is sent, and the task that reads the answers."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.ended = False
        self._connection = connection
        self._calls: deque[_Call] = deque()
        self._outgoing: list[bytes] = []
        self._something_to_write = asyncio.Event()
        self._idle = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            self.ended = True
            await self._hang_up()
            raise
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._write()), loop.create_task(self._read())]

    def send(self, *command: Any, undo: Undo | None = None, fallback: Sequence[Any] = ()) -> asyncio.Future[Any]:
        """Let a command leave; the future is its answer.

        Raises:
            LostError: the connection has ended, and nothing left.
        """
        if self.ended:
            raise LostError("the connection has ended", sent=False)
        self._outgoing += self._connection.pack_command(*command)
        self._something_to_write.set()
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
        for task in self._tasks:
            task.cancel()

    async def close(self, patience: float) -> None:
        """Wait for the answers that are under way, and hang up."""
        if self._calls:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._idle.wait()
        self.end(LostError("the driver was closed", sent=True))
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._hang_up()

    async def _hang_up(self) -> None:
        with contextlib.suppress(Exception):
            await self._connection.disconnect(nowait=True)

    async def _write(self) -> None:
        try:
            while True:
                await self._something_to_write.wait()
                self._something_to_write.clear()
                packed, self._outgoing = self._outgoing, []
                await self._connection.send_packed_command(packed, check_health=False)
        except (exceptions.RedisError, OSError) as error:
            self.end(LostError(str(error), sent=True))

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
        if isinstance(answer, exceptions.NoScriptError) and fallback:  # a new server, or SCRIPT FLUSH
            self._outgoing += self._connection.pack_command(*fallback)
            self._something_to_write.set()
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

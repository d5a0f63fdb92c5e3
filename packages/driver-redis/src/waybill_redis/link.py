"""One connection that carries many calls at once: answers come in the order in which the calls were sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError

from .answers import NOT_YET, reader
from .failures import LostError, UnansweredError, ends_the_link

Undo = Callable[[Any], object]


class _Call(NamedTuple):
    """One command under way."""

    future: asyncio.Future[Any]
    sent: float
    until: float
    """When its time is over, by the loop's clock."""
    undo: Undo | None
    """What to do with an answer that nobody waits for any more."""
    fallback: Callable[[], bytes] | None
    """What to send if the server does not know the script, in which case nothing has happened."""


class Link(asyncio.Protocol):
    """A connection, from its handshake on: what comes is read where it comes in, without a task in between."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.ended = False
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._calls: deque[_Call] = deque()
        self._outgoing: list[bytes] = []
        self._clock: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._gone = self._loop.create_future()

    async def open(self) -> None:
        """Connect and log in.

        Raises:
            redis.RedisError, OSError: that failed.
        """
        connection = self._connection
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            self.ended = True
            with contextlib.suppress(Exception):
                await connection.disconnect(nowait=True)
            raise
        # redis-py has connected and logged in; from here on the transport is ours, and its streams must not close it.
        parser: Any = connection._parser  # noqa: SLF001
        writer = connection._writer  # noqa: SLF001
        assert writer is not None
        self._writer, connection._writer, connection._reader = writer, None, None  # noqa: SLF001
        self._reader = reader(parser.parse_error)
        self._transport = cast("asyncio.Transport", writer.transport)
        if self._transport.is_closing():
            self.connection_lost(None)
            raise LostError("the connection has ended", sent=False)
        self._transport.set_protocol(self)

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._calls)

    def send(
        self, command: bytes, until: float, *, undo: Undo | None = None, fallback: Callable[[], bytes] | None = None
    ) -> asyncio.Future[Any]:
        """Let a command leave; the future is its answer. None by *until*, and the connection ends.

        Raises:
            LostError: the connection has ended, and nothing left.
        """
        if self.ended:
            raise LostError("the connection has ended", sent=False)
        self._write(command)
        future = self._loop.create_future()
        self._calls.append(_Call(future, self._loop.time(), until, undo, fallback))
        if self._clock is None or until < self._clock.when():
            self._watch(until)
        return future

    def end(self, error: Exception) -> None:
        """Fail what is under way, and take no more."""
        if self.ended:
            return
        self.ended = True
        calls, self._calls = self._calls, deque()
        for call in calls:
            _fail(call.future, error)
        if self._clock is not None:
            self._clock.cancel()
        self._rest()
        self._transport.abort()

    async def close(self, patience: float) -> None:
        """Wait for the answers that are under way, and hang up."""
        if self._calls:
            self._idle = self._loop.create_future()
            await asyncio.wait([self._idle], timeout=patience)
        self.end(LostError("the driver was closed", sent=True))
        await self._gone

    # -- as a protocol ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while not self.ended and (answer := self._reader.gets()) is not NOT_YET:
                self._answer(answer)
        except (RedisError, LookupError) as error:  # not what a Redis server says, or more than was asked
            self.end(LostError(str(error), sent=True))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
        self.end(LostError(str(exc or "the server has hung up"), sent=True))

    # -- inside ----------------------------------------------------------------------------------------

    def _write(self, command: bytes) -> None:
        """A lone call leaves at once, and while others are under way all of one turn of the loop leave together."""
        self._outgoing.append(command)
        if not self._calls:
            self._flush()
        elif len(self._outgoing) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        packed, self._outgoing = self._outgoing, []
        if packed and not self.ended:  # else: those who wait have been told
            self._transport.write(b"".join(packed))

    def _answer(self, answer: Any) -> None:
        call = self._calls.popleft()
        future = call.future
        if isinstance(answer, Exception):
            if isinstance(answer, NoScriptError) and call.fallback is not None:  # a new server, or SCRIPT FLUSH
                self._write(call.fallback())
                self._calls.append(_Call(future, call.sent, call.until, call.undo, None))
                return
            _fail(future, answer)
            if ends_the_link(answer):
                self.end(LostError("the connection is given up, as this server refuses", sent=True))
        elif not future.done():
            future.set_result(answer)
        elif call.undo is not None:
            call.undo(answer)
        if not self._calls:
            self._rest()

    def _rest(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _watch(self, until: float) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._clock = self._loop.call_at(until, self._look_at_clock)

    def _look_at_clock(self) -> None:
        """One timer for all calls, so that none has to set and cancel its own."""
        self._clock = None
        if not self._calls:
            return
        first = min(self._calls, key=lambda call: call.until)
        if first.until > self._loop.time():
            self._watch(first.until)
        else:  # its answers would come too late for others as well
            self.end(UnansweredError(first.until - first.sent, sent=True))


async def answer_of(future: asyncio.Future[Any], undo: Undo | None) -> Any:
    """The answer, for the one who waits for it."""
    try:
        return await future
    except asyncio.CancelledError:
        if undo is not None and not future.cancelled() and future.exception() is None:
            undo(future.result())  # the answer came together with the cancellation
        raise


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # who waits for it sees it; if nobody does, that is no fault

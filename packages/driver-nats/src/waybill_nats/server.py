"""The servers as the verbs see them: questions, each within its time, over a link that is made when needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, Final

import msgspec

from waybill.errors import ConfigurationError

from .address import Address
from .clock import ServerClock
from .failures import AbsentError, LostError, RefusedError, UnansweredError, closed
from .link import Link
from .names import Names
from .options import NatsOptions

_PATIENCE: Final = 1.0
"""Seconds that closing waits for what is given back."""
PAUSES: Final = (0.02, 0.1, 0.3)
"""Seconds until one tries again where no stream listens: one that another process is making is found before it does."""


class _Refusal(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: _Refusal | None = None


class Stored(_Answer):
    """What a stream says of a message that it has stored, or had stored before."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False


_answer: Final = msgspec.json.Decoder(_Answer)
_stored: Final = msgspec.json.Decoder(Stored)
_json: Final = msgspec.json.Decoder()


class Server:
    """One server or cluster, used from the loop that opened it."""

    def __init__(self, address: Address, options: NatsOptions, names: Names) -> None:
        self.address, self.options, self.names = address, options, names
        self.clock = ServerClock()
        self.closing = False
        self.seconds = options.timeout.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._link: Link | None = None
        self._connecting = asyncio.Lock()
        self._errands: set[asyncio.Task[Any]] = set()

    def check_caller(self) -> None:
        """Refuse who cannot use this connection.

        Raises:
            DriverClosedError, ConfigurationError: it is closed; or it belongs to another loop or process.
        """
        if self.closing:
            raise closed()
        if asyncio.get_running_loop() is not self._loop or os.getpid() != self._process:
            raise ConfigurationError(
                "a NATS driver belongs to the event loop and the process that opened it, and this is another. "
                "Pass a URL or a factory, so that each gets its own."
            )

    async def link(self) -> Link:
        """The connection; another one if the last has ended."""
        link = self._link
        if link is not None and not link.ended:
            return link
        self.check_caller()
        async with self._connecting:
            if self._link is None or self._link.ended:
                link = Link(self.address)
                await link.open(self.seconds)
                if self.closing:
                    await link.close()
                    raise closed()
                self._link = link
            return self._link

    @contextlib.asynccontextmanager
    async def deadline(self, seconds: float | None = None) -> AsyncIterator[None]:
        """What is done in here ends in time, and as that of a closed driver if it is closed meanwhile.

        Raises:
            UnansweredError: it has not ended in time; the connection is given up, as its answers would come too late.
        """
        seconds = self.seconds if seconds is None else seconds
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                yield
        except LostError as error:
            if self.closing:
                raise closed() from error
            raise
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = UnansweredError(seconds, sent=self._link is not None and not self._link.ended)
            if self._link is not None:
                self._link.end(late)
            raise late from error

    async def ask(self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        """The answer to one question.

        Raises:
            OSError, nats.errors.Error, LostError, UnansweredError, ForbiddenError, AbsentError: see failures.py.
        """
        async with self.deadline():
            link = await self.link()
            answer = link.ask(subject, data, headers)
            link.hurry()
            return await answer

    async def api(self, verb: str, **request: Any) -> Any:
        """What JetStream answers, as plain values.

        Raises:
            RefusedError: it refused.
        """
        return read(await self.ask(f"$JS.API.{verb}", msgspec.json.encode(request) if request else b""))

    async def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Any:
        """Store a message; what the stream says of it.

        Raises:
            RefusedError: it refused.
        """
        for pause in PAUSES:
            try:
                return read(await self.ask(subject, data, headers))
            except AbsentError:
                await asyncio.sleep(pause)
        return read(await self.ask(subject, data, headers))

    async def ask_the_time(self) -> None:
        """Know the server's clock, if it was not looked at for a while."""
        if not self.clock.stale:
            return
        asked = time.monotonic()
        info = await self.api(f"STREAM.INFO.{self.names.bucket}")
        answered = time.monotonic()
        told = info.get("ts")
        if told is None:  # before NATS 2.10 only a message that it stores tells its time
            subject = f"{self.names.values}.clock"
            asked = time.monotonic()
            await self.publish(subject, b"")
            # The last one: by now it may be another driver's, which has replaced this one's, and tells as much.
            told = (await self.api(f"STREAM.MSG.GET.{self.names.bucket}", last_by_subj=subject))["message"]["time"]
            answered = time.monotonic()
        self.clock.saw(told, asked, answered)

    # -- what goes on beside the verbs -------------------------------------------------------------------

    def run_errand(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have something done for which nobody waits, and of which nobody needs to know whether it could be done."""
        task = self._loop.create_task(_quietly(work))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def interrupt(self) -> None:
        """The driver is being closed: end what is waited for."""
        self.closing = True
        if self._link is not None:
            self._link.interrupt(LostError("the driver was closed", sent=True))

    async def close(self) -> None:
        """What is being given back gets its time."""
        if self._errands:
            await asyncio.wait(self._errands, timeout=_PATIENCE)
        for task in list(self._errands):
            task.cancel()
        if self._errands:
            await asyncio.wait(self._errands)
        if self._link is not None:
            await self._link.close()


def read(data: bytes) -> Any:
    """An answer of JetStream.

    Raises:
        RefusedError: it is a refusal.
    """
    _check(_answer.decode(data))
    return _json.decode(data)


def read_stored(data: bytes) -> Stored:
    """As `read`, of a message that was published."""
    stored = _stored.decode(data)
    _check(stored)
    return stored


def _check(answer: _Answer) -> None:
    refusal = answer.error
    if refusal is not None:
        raise RefusedError(refusal.code, refusal.err_code, refusal.description)


async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(Exception):
        await work


async def all_of(futures: Iterable[asyncio.Future[bytes]]) -> list[bytes | BaseException]:
    """Each answer, or why there is none."""
    return await asyncio.gather(*futures, return_exceptions=True)

"""One connection: questions with their answers, and inboxes in which messages arrive."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any, Final, NamedTuple

from nats.errors import NoServersError

from .address import Address
from .failures import AbsentError, ForbiddenError, LostError
from .wire import Listener, Wire, status_of

_NO_RESPONDERS: Final = 503
_BUFFER: Final = 64 * 2**20
"""Bytes that may wait to be written: nats-py's own limit makes a batch of large messages fail."""
_BRIEF: Final = 0.01
"""Seconds between two tries of one server."""


class _Question(NamedTuple):
    future: asyncio.Future[bytes]
    subject: str


class Inbox(NamedTuple):
    """Where answers to a pull arrive."""

    subject: str
    number: int


class Link:
    """A connection that is never renewed: when it has ended, another is made."""

    def __init__(self, address: Address) -> None:
        self.ended = False
        self.version: tuple[int, int, int] = (0, 0, 0)
        self.max_payload = 0
        self._address = address
        self._wire = Wire(self._lost, encrypted=address.encrypted)
        self._inbox = ""
        self._numbers = itertools.count(1)
        self._questions: dict[bytes, _Question] = {}
        self._followers: set[Any] = set()
        self._last_error: Exception | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self, seconds: float) -> None:
        """Connect, and be ready for answers."""
        given = await self._address.arguments()
        try:
            await self._wire.connect(
                **given,
                name="waybill",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=_BRIEF,  # type: ignore[arg-type] # it takes any number
                connect_timeout=seconds,  # type: ignore[arg-type]
                ping_interval=20,
                max_outstanding_pings=2,
                pending_size=_BUFFER,
                error_cb=self._told,
                closed_cb=self._closed,
            )
            self._inbox = self._wire.new_inbox()
            await self._wire.listen(f"{self._inbox}.*", self._answered)
        except BaseException as error:
            self.ended = True
            await self._hang_up()
            # nats-py says that no server is left, and told before why the last one was none.
            if isinstance(error, NoServersError) and self._last_error is not None:
                raise self._last_error from error
            raise
        version = self._wire.connected_server_version
        self.version = (version.major, version.minor, version.patch)
        self.max_payload = self._wire.max_payload

    # -- questions -------------------------------------------------------------------------------------

    def ask(self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None) -> asyncio.Future[bytes]:
        """Let a question leave; the future is the answer's data.

        Raises:
            LostError: the connection has ended, and nothing left.
        """
        self._check()
        reply = f"{self._inbox}.{next(self._numbers)}"
        self._wire.send(subject, data, reply, headers)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._questions[reply.encode()] = _Question(future, subject)
        return future

    def tell(self, subject: str, data: bytes = b"", reply: str = "") -> None:
        """Let something leave that is not answered, or is answered in an inbox.

        Raises:
            LostError: the connection has ended, and nothing left.
        """
        self._check()
        self._wire.send(subject, data, reply)

    def hurry(self) -> None:
        """Write at once what was asked and told in this turn of the loop: somebody waits, and there is no more."""
        if not self.ended:
            self._wire.write()

    # -- inboxes ---------------------------------------------------------------------------------------

    async def open_inbox(self, listener: Listener) -> Inbox:
        self._check()
        subject = self._wire.new_inbox()
        return Inbox(subject, await self._wire.listen(subject, listener))

    async def close_inbox(self, inbox: Inbox) -> None:
        """What is on its way is heard until the server has confirmed that nothing more comes."""
        if not self.ended:
            with contextlib.suppress(Exception):
                await self._wire.unlisten(inbox.number)

    def follow(self, future: asyncio.Future[Any]) -> None:
        """Fail a future when the connection ends before it is done."""
        self._followers.add(future)
        future.add_done_callback(self._followers.discard)

    # -- the end ---------------------------------------------------------------------------------------

    def end(self, error: Exception) -> None:
        """Fail what is under way, and take no more."""
        if self.ended:
            return
        self.ended = True
        self.interrupt(error)
        self._closing = asyncio.get_running_loop().create_task(self._hang_up())

    def interrupt(self, error: Exception) -> None:
        """Fail what is waited for; the connection goes on."""
        for future in [question.future for question in self._questions.values()] + list(self._followers):
            _fail(future, error)

    async def close(self) -> None:
        self.end(LostError("the driver was closed", sent=True))
        if self._closing is not None:
            await asyncio.wait([self._closing])

    async def _hang_up(self) -> None:
        with contextlib.suppress(Exception):
            self._wire.write()
            async with asyncio.timeout(1):
                await self._wire.close()

    def _check(self) -> None:
        if self.ended:
            raise LostError("the connection has ended", sent=False)

    # -- what comes in ---------------------------------------------------------------------------------

    def _answered(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        question = self._questions.pop(subject, None)
        if question is None or question.future.done():
            return
        if headers is not None and not data and status_of(headers)[0] == _NO_RESPONDERS:
            _fail(question.future, AbsentError(question.subject))
        else:
            question.future.set_result(data)

    def _lost(self, error: Exception) -> None:
        self.end(LostError(str(error) or type(error).__name__, sent=True))

    async def _closed(self) -> None:
        self._lost(self._last_error or LostError("the server hung up", sent=True))

    async def _told(self, error: Exception) -> None:
        """Told of what goes wrong on the connection, a refused right among it."""
        self._last_error = error
        told = str(error)
        if "permissions violation" not in told:
            return
        for name, question in list(self._questions.items()):
            if f'"{question.subject.lower()}"' in told:
                del self._questions[name]
                _fail(question.future, ForbiddenError(f'it lacks the right to publish to "{question.subject}"'))


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # who waits for it sees it; if nobody does, that is no fault

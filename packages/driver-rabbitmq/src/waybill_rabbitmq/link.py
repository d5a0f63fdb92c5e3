"""One connection, on the running loop: opened in time or not at all, and ended once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, cast

from pika import ConnectionParameters
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel as PikaChannel
from pika.connection import Connection

from waybill.errors import ConfigurationError

from .channel import Channel
from .failures import LostError
from .wire import Network

_pikas_logger: Final = logging.getLogger("pika")


class Link:
    """A connection; `ended` tells why it is no more, `blocked` why the server reads nothing from it now."""

    def __init__(self, parameters: ConnectionParameters) -> None:
        self._parameters = parameters
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._raw: AsyncioConnection | None = None
        self._opening: set[asyncio.Future[Channel]] = set()
        self.ended: Exception | None = None
        self.blocked: str | None = None

    async def open(self) -> None:
        """Connect and log in.

        Raises:
            pika.exceptions.AMQPError, OSError: it was refused, or nobody is there.
            ConfigurationError: this loop will not do.
        """
        if _pikas_logger.level == logging.NOTSET:
            # It logs each lost connection a dozen times; whoever calls us is told once, by an error.
            _pikas_logger.setLevel(logging.CRITICAL)
        try:
            self._raw = AsyncioConnection(
                self._parameters,
                on_open_callback=self._on_open,
                on_open_error_callback=self._on_close,
                on_close_callback=self._on_close,
                custom_ioloop=cast("Any", Network(self._loop)),  # which its types do not know of
            )
        except TypeError as error:
            raise ConfigurationError(
                "rabbitmq: pika cannot use this event loop. On Windows start the program with "
                "asyncio.run(main(), loop_factory=asyncio.SelectorEventLoop), from Python 3.12 on. Nothing was sent."
            ) from error
        self._raw.add_on_connection_blocked_callback(self._on_blocked)
        self._raw.add_on_connection_unblocked_callback(self._on_unblocked)
        try:
            await self._opened
        except asyncio.CancelledError:
            self.abort()
            raise

    @property
    def server(self) -> dict[str, Any]:
        """What the server says of itself."""
        assert self._raw is not None
        return dict(self._raw.server_properties or {})

    async def channel(self) -> Channel:
        """A new channel.

        Raises:
            LostError: the connection has ended.
        """
        if self.ended is not None or self._raw is None:
            raise LostError(str(self.ended), sent=False) from self.ended
        made: asyncio.Future[Channel] = self._loop.create_future()
        self._opening.add(made)
        made.add_done_callback(self._opening.discard)

        def on_open(raw: PikaChannel) -> None:
            if made.done():
                raw.close()
            else:
                made.set_result(Channel(raw))

        self._raw.channel(on_open_callback=on_open)
        return await made

    async def flowing(self) -> None:
        """Wait until the server reads from this connection.

        Raises:
            LostError: it has ended.
        """
        while not self._flowing.is_set():
            await self._flowing.wait()
        if self.ended is not None:
            raise LostError(str(self.ended), sent=False) from self.ended

    def abort(self) -> None:
        """Hang up without a goodbye."""
        raw = self._raw
        if raw is None or self.ended is not None:
            return
        # There is no public way to hang up on a server that stands still: a goodbye waits for its answer, and while the
        # connection is being opened pika stumbles over it.
        hang_up = raw._terminate_stream  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue]
        hang_up(LostError("given up", sent=True))

    async def close(self, patience: float) -> None:
        """Say goodbye, and hang up if that takes too long."""
        if self._raw is None or self.ended is not None:
            return
        if self._raw.is_open:
            self._raw.close()
            await asyncio.wait([self._over], timeout=patience)
        self.abort()
        await asyncio.wait([self._over], timeout=patience)

    def _on_open(self, _: Connection) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_close(self, _: Connection, reason: BaseException) -> None:
        self.ended = reason if isinstance(reason, Exception) else LostError(str(reason), sent=True)
        self._flowing.set()
        if not self._opened.done():
            self._opened.set_exception(self.ended)
            self._opened.exception()  # who waits for it sees it; if nobody does, that is no fault
        for made in self._opening:
            if not made.done():
                made.set_exception(LostError(str(reason), sent=False))
                made.exception()
        if not self._over.done():
            self._over.set_result(None)

    def _on_blocked(self, _: Connection, frame: Any) -> None:
        self.blocked = str(frame.method.reason)
        self._flowing.clear()

    def _on_unblocked(self, _: Connection, frame: Any) -> None:
        self.blocked = None
        self._flowing.set()

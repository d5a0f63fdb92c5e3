"""The bytes between pika and a server, over asyncio's own transports.

pika's own ones hand the system one frame at a time, a turn of the loop after it was written, and read four kilobytes at
a time. Here all frames of a turn leave together, and what has come is read at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from socket import socket
from ssl import SSLContext
from typing import Any, Final, cast

from pika.adapters.asyncio_connection import (
    _AsyncioIOServicesAdapter as PikasNetwork,  # pyright: ignore[reportPrivateUsage]
)
from pika.adapters.utils.nbio_interface import AbstractIOReference, AbstractStreamProtocol, AbstractStreamTransport

_READ: Final = 64 * 1024
"""Bytes that are read at once."""
_PIECE: Final = 4096
"""Bytes that pika is given at once: for each frame it copies all that it has not looked at yet."""

OnDone = Callable[[Any], None]
MakeProtocol = Callable[[], AbstractStreamProtocol]


class Network(PikasNetwork):  # type: ignore[misc]  # pika is untyped
    """What pika needs of an event loop; it connects as pika does, and goes on over a `Wire`."""

    def create_streaming_connection(
        self,
        protocol_factory: MakeProtocol,
        sock: socket,
        on_done: OnDone,
        ssl_context: SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> AbstractIOReference:
        """Talk over a connected socket; *on_done* is told the transport and the protocol, or what went wrong."""
        return _Errand(_lay(protocol_factory, sock, on_done, ssl_context, server_hostname))


async def _lay(
    make_protocol: MakeProtocol, sock: socket, on_done: OnDone, context: SSLContext | None, server_name: str | None
) -> None:
    loop = asyncio.get_running_loop()
    try:
        _, wire = await loop.create_connection(
            lambda: Wire(loop, make_protocol()),
            sock=sock,
            ssl=context,
            server_hostname=None if context is None else server_name or "",
        )
        wire.begin()
    except Exception as error:
        on_done(error)
    else:
        on_done((wire, wire.get_protocol()))


class _Errand(AbstractIOReference):  # type: ignore[misc]  # pika is untyped
    """Something under way that pika may cancel."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.ensure_future(work)

    def cancel(self) -> bool:
        return self._task.cancel()


class Wire(asyncio.BufferedProtocol, AbstractStreamTransport):  # type: ignore[misc]  # pika is untyped
    """To asyncio a protocol, to pika a transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: AbstractStreamProtocol) -> None:
        self._loop, self._protocol = loop, protocol
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._space = memoryview(bytearray(_READ))
        self._fault: Exception | None = None

    # -- to asyncio ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by class
        self._transport.pause_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for start in range(0, nbytes, _PIECE):
                if self._closing:
                    break
                self._protocol.data_received(bytes(self._space[start : min(start + _PIECE, nbytes)]))
        except Exception as error:  # what has come is not AMQP
            self._fault = error
            self.abort()

    def eof_received(self) -> None:
        self._protocol.eof_received()
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unsent.clear()
        self._protocol.connection_lost(exc or self._fault)

    # -- to pika ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Let the two talk: not before, as pika is deaf to the end of a connection that it has not been told of."""
        assert self._transport is not None
        self._protocol.connection_made(self)
        self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Have this sent with what else is written in this turn of the loop."""
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(data)

    def _send(self) -> None:
        data = b"".join(self._unsent)
        self._unsent.clear()
        if data and self._transport is not None and not self._closing:
            self._transport.write(data)

    def abort(self) -> None:
        """Hang up; what was not sent yet is not sent."""
        self._unsent.clear()
        if self._transport is not None:
            self._transport.abort()

    def get_protocol(self) -> AbstractStreamProtocol:
        return self._protocol

    def get_write_buffer_size(self) -> int:
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return waiting + sum(map(len, self._unsent))

    @property
    def _closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

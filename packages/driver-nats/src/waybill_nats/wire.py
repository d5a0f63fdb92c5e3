"""nats-py's client, which hands over what it reads at once, and writes what one turn of the loop sends in one piece.

So it needs no queue and no task per subscription, and no check per message that it is told to send.

This is the only module that touches what nats-py does not document.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeAlias

from nats import errors
from nats.aio.client import Client

from .reading import Reader

Listener: TypeAlias = Callable[[bytes, bytes, bytes, bytes | None], object]
"""Gets subject, reply subject, data and raw headers of each message."""


class Wire(Client):
    """One connection that is never renewed.

    Args:
        lost: told of the end of the connection, at least once.
        encrypted: whether a server without TLS is refused before it is told who we are.
    """

    def __init__(self, lost: Callable[[Exception], object], *, encrypted: bool) -> None:
        super().__init__()
        self._lost, self._encrypted = lost, encrypted
        self._listeners: dict[int, Listener] = {}
        self._frames: list[bytes] = []
        self._ps = Reader(self, self._heard)

    def send(self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Have a message written in this turn of the loop; `write` does not wait for its end.

        Raises:
            nats.errors.Error: it cannot be: the connection is closed, or the server does not take that many bytes.
        """
        if self.is_closed:
            raise errors.ConnectionClosedError
        if len(data) > self._max_payload:
            raise errors.MaxPayloadError
        if not self._frames:
            asyncio.get_running_loop().call_soon(self.write)
        if headers is None:
            head = f"PUB {subject} {reply} {len(data)}\r\n".encode()
        else:
            lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
            above = f"NATS/1.0\r\n{lines}\r\n".encode()
            head = f"HPUB {subject} {reply} {len(above)} {len(above) + len(data)}\r\n".encode() + above
        self._frames += (head, data, b"\r\n")

    def write(self) -> None:
        """Write what there is to be sent, behind what nats-py itself has to say: subscriptions come first."""
        frames = self._pending + self._frames
        self._frames = []
        self._pending, self._pending_data_size = [], 0
        if frames and self._transport is not None:
            self._transport.write(b"".join(frames))

    async def listen(self, subject: str, listener: Listener) -> int:
        """Subscribe; the number to `unlisten` with."""
        number = self._sid + 1  # which subscribe takes before it first waits
        self._listeners[number] = listener
        await self.subscribe(subject)
        return number

    async def unlisten(self, number: int) -> None:
        """Unsubscribe; what is on its way is heard until the server has confirmed that."""
        await self._send_unsubscribe(number)
        self.write()  # or the question of `flush`, which nats-py writes at once, would be answered before this was read
        await self.flush()
        self._remove_sub(number)
        self._listeners.pop(number, None)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self._heard(sid, subject, reply, data, headers)

    def _heard(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        listener = self._listeners.get(sid)
        if listener is not None:
            listener(subject, reply, data, headers)

    async def _process_op_err(self, e: Exception) -> None:
        self._lost(e)
        with contextlib.suppress(OSError):  # the end of a connection may break while it writes the rest
            await super()._process_op_err(e)

    def _connect_command(self) -> bytes:
        # A server that offers no TLS would be told the password in the clear.
        if self._encrypted and not self._server_info.get("tls_required"):
            raise errors.SecureConnWantedError
        return super()._connect_command()


def status_of(headers: bytes) -> tuple[int, str]:
    """The code and the words of a message that is a status: `NATS/1.0 404 No Messages`."""
    line = headers.partition(b"\r\n")[0].split(b" ", 2)
    code = int(line[1]) if len(line) > 1 and line[1].isdigit() else 0
    return code, line[2].decode("utf-8", "replace") if len(line) > 2 else ""

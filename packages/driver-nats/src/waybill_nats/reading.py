"""What a server sends, read message by message: nats-py's parser looks at each byte several times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

Heard: TypeAlias = Callable[[int, bytes, bytes, bytes, bytes | None], object]
"""Gets number of the subscription, subject, reply subject, data and raw headers of each message."""
_END: Final = b"\r\n"
_LARGE: Final = 2**16
"""Bytes of a message from which on nats-py gathers the parts: it does so in place."""


class Reader(Parser):
    """nats-py's parser, which is left with everything that is no message, or not whole and large.

    Args:
        client: nats-py's.
        heard: gets the messages.
    """

    def __init__(self, client: object, heard: Heard) -> None:
        super().__init__(client)
        self._heard = heard

    async def parse(self, data: bytes = b"") -> None:
        if self.state == AWAITING_CONTROL_LINE:
            if self.buf:
                data = bytes(self.buf) + data
                self.buf.clear()
            at, waits = self._read(data)
            data = data[at:]
            if waits:
                self.buf += data
                return
        if data:
            await super().parse(data)

    def _read(self, data: bytes) -> tuple[int, bool]:
        """Where the messages end, and whether what follows is the begin of another."""
        at = 0
        while data.startswith((b"MSG ", b"HMSG "), at):
            line = data.find(_END, at)
            if line < 0:
                return at, True
            words = data[at:line].split()  # MSG subject number [reply] size, HMSG subject number [reply] headers size
            begin, size = line + 2, int(words[-1])
            end = begin + size
            if len(data) < end + 2:
                return at, size < _LARGE
            headers = None
            if words[0] == b"HMSG":
                headers = data[begin : begin + int(words.pop(-2))]
            body = data[begin + len(headers) : end] if headers else data[begin:end]
            self._heard(int(words[2]), words[1], words[3] if len(words) > 4 else b"", body, headers)
            at = end + 2
        return at, False

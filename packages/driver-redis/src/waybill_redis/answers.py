"""What a server sends back, cut into answers: by hiredis where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from redis.exceptions import InvalidResponse
from redis.utils import HIREDIS_AVAILABLE

NOT_YET: Final = object()
"""The next answer is not whole."""
_LINE_END: Final = b"\r\n"


class Reader(Protocol):
    """Takes bytes as they come, and gives the answers in them one by one."""

    def feed(self, data: bytes, /) -> None:
        """Take some more bytes."""
        ...

    def gets(self) -> Any:
        """The next answer, an error as a value; or NOT_YET.

        Raises:
            redis.InvalidResponse: this is not what a Redis server says.
        """
        ...


def reader(to_error: Callable[[str], Exception]) -> Reader:
    """A new one; *to_error* makes an exception of the text of a server's error."""
    if not HIREDIS_AVAILABLE:
        return PlainReader(to_error)
    import hiredis

    made: Reader = hiredis.Reader(protocolError=InvalidResponse, replyError=to_error, notEnoughData=NOT_YET)
    return made


class _IncompleteError(Exception):
    """The bytes end within an answer."""


class PlainReader:
    """One in Python, of RESP 2. An answer that comes in pieces is read again from its begin: they are few or short."""

    def __init__(self, to_error: Callable[[str], Exception]) -> None:
        self._to_error = to_error
        self._data = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> None:
        del self._data[: self._at]
        self._at = 0
        self._data += data

    def gets(self) -> Any:
        begin = self._at
        try:
            return self._next()
        except _IncompleteError:
            self._at = begin
            return NOT_YET
        except ValueError as error:
            raise InvalidResponse(str(error)) from error

    def _next(self) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return None if rest == b"-1" else self._bytes(int(rest))
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return None if rest == b"-1" else [self._next() for _ in range(int(rest))]
        if kind == b"+":
            return rest
        if kind == b"-":
            return self._to_error(rest.decode(errors="replace"))
        raise ValueError(f"an answer cannot begin with {kind!r}")

    def _line(self) -> bytes:
        end = self._data.find(_LINE_END, self._at)
        if end < 0:
            raise _IncompleteError
        line = bytes(self._data[self._at : end])
        self._at = end + len(_LINE_END)
        return line

    def _bytes(self, count: int) -> bytes:
        end = self._at + count
        if len(self._data) < end + len(_LINE_END):
            raise _IncompleteError
        found = bytes(self._data[self._at : end])
        self._at = end + len(_LINE_END)
        return found

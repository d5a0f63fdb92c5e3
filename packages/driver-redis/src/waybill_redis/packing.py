"""Commands as the bytes that are sent. What a script and its keys come to is made once: they are most of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

from .scripts import Script

Part: TypeAlias = bytes | str | int


def pack(*parts: Part) -> bytes:
    """A plain command."""
    return b"*%d\r\n%b" % (len(parts), _all(parts))


def pack_call(script: Script, keys: Sequence[str], arguments: Iterable[Part]) -> tuple[bytes, Callable[[], bytes]]:
    """A call of a script that the server knows, and how to make that of one that it does not."""
    given = tuple(arguments)
    count, rest = 3 + len(keys) + len(given), _all(given)

    def whole() -> bytes:
        return b"*%d\r\n%b%b" % (count, _all(("EVAL", script.text, len(keys), *keys)), rest)

    return b"*%d\r\n%b%b" % (count, _begin(script.digest, tuple(keys)), rest), whole


@lru_cache(1024)
def _begin(digest: str, keys: tuple[str, ...]) -> bytes:
    return _all(("EVALSHA", digest, len(keys), *keys))


def _all(parts: Iterable[Part]) -> bytes:
    return b"".join([_packed(each) for each in parts])


def _packed(part: Part) -> bytes:
    data = part if isinstance(part, bytes) else str(part).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)

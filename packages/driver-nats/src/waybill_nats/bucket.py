"""Values with versions, in JetStream's key-value bucket of the namespace: what exactly one process must decide."""

from __future__ import annotations

import base64
from typing import NamedTuple

from .failures import NO_MESSAGE, STREAM_MISSING, UNAVAILABLE, WRONG_SEQUENCE, RefusedError
from .names import Names
from .server import Server


class Entry(NamedTuple):
    """A stored message."""

    subject: str
    value: bytes
    version: int
    """Its number in the stream, which no other ever has."""
    stored: str
    """When, by the server's clock."""
    headers: bytes


class Bucket:
    """The bucket; the stream of a queue can be looked at in the same way."""

    def __init__(self, server: Server, names: Names) -> None:
        self._server, self._names = server, names

    async def put(self, subject: str, value: bytes, expect: int, headers: dict[str, str] | None = None) -> int | None:
        """Store a value if the subject's last version is the expected one (0: none); the new one, or None."""
        conditions = {"Nats-Expected-Last-Subject-Sequence": str(expect), **(headers or {})}
        try:
            answer = await self._server.publish(subject, value, conditions)
        except RefusedError as error:
            if error.number == WRONG_SEQUENCE:
                return None
            raise
        version: int = answer["seq"]
        return version

    async def last(self, subject: str, stream: str = "") -> Entry | None:
        """The last one of a subject."""
        return await self._get(stream or self._names.bucket, last_by_subj=subject)

    async def at(self, version: int, stream: str = "") -> Entry | None:
        """The one with this number."""
        return await self._get(stream or self._names.bucket, seq=version)

    async def next(self, subject: str, version: int, stream: str) -> Entry | None:
        """The first one of a subject that has this number or a higher one."""
        return await self._get(stream, seq=version, next_by_subj=subject)

    async def remove(self, version: int, stream: str = "") -> bool:
        """Remove the one with this number; whether it was there."""
        stream = stream or self._names.bucket
        try:
            answer = await self._server.api(f"STREAM.MSG.DELETE.{stream}", seq=version, no_erase=True)
        except RefusedError as error:
            if error.code == UNAVAILABLE:  # it did not look
                raise
            return False
        return bool(answer["success"])

    async def subjects(self, pattern: str, stream: str = "") -> dict[str, int]:
        """All subjects that fit a pattern, with how many messages each has."""
        found: dict[str, int] = {}
        while True:
            try:
                info = await self._server.api(
                    f"STREAM.INFO.{stream or self._names.bucket}", subjects_filter=pattern, offset=len(found)
                )
            except RefusedError as error:
                if error.number == STREAM_MISSING:
                    return found
                raise
            some = info["state"].get("subjects") or {}
            found.update(some)
            if not some or len(found) >= info.get("total", 0):
                return found

    async def _get(self, stream: str, **which: object) -> Entry | None:
        try:
            answer = await self._server.api(f"STREAM.MSG.GET.{stream}", **which)
        except RefusedError as error:
            if error.number in (NO_MESSAGE, STREAM_MISSING):
                return None
            raise
        found = answer["message"]
        value, headers = (base64.b64decode(found.get(part) or "") for part in ("data", "hdrs"))
        return Entry(found["subject"], value, found["seq"], found["time"], headers)

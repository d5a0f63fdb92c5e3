"""Asking a consumer for messages: one request, which takes what is there, or waits for the first.

nats-py's `fetch` is not used: it loses time, and, when it is cancelled, the messages that arrive afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

import msgspec

from .link import Inbox, Link
from .topology import Lane
from .wire import status_of

_encode: Final = msgspec.json.Encoder().encode
_SHORT: Final = 9
"""The words of an ack subject; there are more where it names a domain."""


class Raw(NamedTuple):
    """A delivered message, as it came."""

    lane: Lane
    subject: str
    reply: str
    data: bytes
    arrived: float
    """By `time.monotonic`."""
    delivered: int
    """So many times, this one included."""
    seq: int
    stored: int
    """When, in nanoseconds since 1970."""

    @classmethod
    def of(cls, lane: Lane, subject: bytes, reply: bytes, data: bytes) -> Raw:
        words = reply.split(b".")
        at = 4 if len(words) == _SHORT else 6
        delivered, seq, stored = int(words[at]), int(words[at + 1]), int(words[at + 3])
        return cls(lane, subject.decode(), reply.decode(), data, time.monotonic(), delivered, seq, stored)


class Pull:
    """One request and what came of it: messages, and at the end a status, if it did not get all it asked for."""

    def __init__(self, lane: Lane, batch: int, changed: Callable[[], object]) -> None:
        self.lane, self.batch, self.changed = lane, batch, changed
        self.messages: list[Raw] = []
        self.status, self.words = 0, ""
        self.over = False
        self.begun: _Begun | None = None

    def heard(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if reply:
            self.messages.append(Raw.of(self.lane, subject, reply, data))
            self.over = len(self.messages) == self.batch
        else:
            self.over = True
            if headers is not None:
                self.status, self.words = status_of(headers)
        self.changed()

    def leave(self) -> list[Raw]:
        """Be done with it: what came, unless that was left before. A request that is still open is withdrawn."""
        begun, self.begun = self.begun, None
        if begun is None:
            return []
        begun.end(self)
        return self.messages


class Puller:
    """The pulls of one link, each in an inbox of its own, as a message does not tell which request it answers.

    Args:
        link: whose pulls these are.
        stray: gets what comes when nobody waits for it any more.
        run_errand: runs what nobody waits for.
    """

    def __init__(
        self,
        link: Link,
        stray: Callable[[Raw], object],
        run_errand: Callable[[Coroutine[Any, Any, Any]], object],
    ) -> None:
        self.link, self.stray, self.run_errand = link, stray, run_errand
        self.free: list[_Begun] = []

    async def begin(self, pull: Pull, wait: float | None) -> None:
        """Send the request; without *wait* (seconds) it takes what is there."""
        begun = self.free.pop() if self.free else _Begun(self)
        begun.pull, pull.begun = pull, begun
        if begun.inbox is None:
            begun.inbox = await self.link.open_inbox(begun.heard)
        request: dict[str, object] = {"batch": pull.batch, "no_wait": True}
        if wait is not None:
            # Both together: what is there at once, else the first to come, and nothing is waited for after that.
            request["expires"] = max(int(wait * 1e9), 1_000_000)
        await self.link.tell(pull.lane.subject, _encode(request), begun.inbox.subject)


class _Begun:
    """An inbox, and the pull that is under way in it."""

    def __init__(self, puller: Puller) -> None:
        self.inbox: Inbox | None = None
        self.pull: Pull | None = None
        self._puller = puller
        self._lane: Lane | None = None

    def heard(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if self.pull is not None:
            self.pull.heard(subject, reply, data, headers)
        elif reply and self._lane is not None:
            self._puller.stray(Raw.of(self._lane, subject, reply, data))

    def end(self, pull: Pull) -> None:
        self.pull, self._lane = None, pull.lane
        if pull.over:
            self._puller.free.append(self)
        elif self.inbox is not None:
            self._puller.run_errand(self._puller.link.close_inbox(self.inbox))

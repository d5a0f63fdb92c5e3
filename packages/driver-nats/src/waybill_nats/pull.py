"""Asking a consumer for messages: one request, which takes what is there, or waits for the first.

nats-py's `fetch` is not used: it loses time, and, when it is cancelled, the messages that arrive afterwards.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

import msgspec

from .link import Inbox, Link
from .topology import Lane
from .wire import status_of

_encode: Final = msgspec.json.Encoder().encode
WITHDRAWS: Final = (2, 10)
"""From this version on a pull may be withdrawn. Before, a server whose waiting pulls are all dead forgets what it was
about to deliver again until the lease has ended once more, and delivers another message twice: so a pull is brief
there, and its end is waited for."""
_BRIEF: Final = 0.5
"""Seconds."""
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
        self.slot: _Slot | None = None

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
        slot, self.slot = self.slot, None
        if slot is None:
            return []
        slot.leave()
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
        self.withdraws = link.version >= WITHDRAWS
        self.longest = math.inf if self.withdraws else _BRIEF
        """Seconds that a pull may wait."""
        self.free: list[_Slot] = []
        self.open: set[_Slot | None] = set()
        self._ended: asyncio.Future[None] | None = None

    async def begin(self, pull: Pull, wait: float | None) -> None:
        """Send the request; without *wait* (seconds) it takes what is there."""
        slot = self.free.pop() if self.free else _Slot(self)
        slot.pull, slot.lane, slot.left, pull.slot = pull, pull.lane, pull.batch, slot
        if slot.inbox is None:
            slot.inbox = await self.link.open_inbox(slot.heard)
        request: dict[str, object] = {"batch": pull.batch, "no_wait": True}
        if wait is not None:
            # Both together: what is there at once, else the first to come, and nothing is waited for after that.
            request["expires"] = max(int(min(wait, self.longest) * 1e9), 1_000_000)
        self.open.add(slot)
        await self.link.tell(pull.lane.subject, _encode(request), slot.inbox.subject)

    async def end(self) -> None:
        """Wait until what cannot be withdrawn has ended."""
        if self.withdraws:
            return
        self._ended = asyncio.get_running_loop().create_future()
        self.ended(None)
        await asyncio.wait([self._ended], timeout=2 * _BRIEF)

    def ended(self, slot: _Slot | None) -> None:
        """A pull has ended."""
        self.open.discard(slot)
        if self._ended is not None and not self._ended.done() and (not self.open or self.link.ended):
            self._ended.set_result(None)


class _Slot:
    """An inbox, and the pull that is under way in it."""

    def __init__(self, puller: Puller) -> None:
        self.inbox: Inbox | None = None
        self.pull: Pull | None = None
        """None: nobody waits for it any more."""
        self.lane: Lane | None = None
        self.left = 0
        self._puller = puller

    def heard(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        pull, lane = self.pull, self.lane
        if lane is None:
            return
        self.left = self.left - 1 if reply else 0
        if self.left <= 0:
            self._puller.ended(self)
        if pull is not None:
            pull.heard(subject, reply, data, headers)
            return
        if reply:
            self._puller.stray(Raw.of(lane, subject, reply, data))
        if self.left <= 0 and not self._puller.withdraws:
            self._puller.free.append(self)

    def leave(self) -> None:
        """Nobody waits any more."""
        self.pull = None
        if self.left <= 0:
            self._puller.free.append(self)
        elif self._puller.withdraws and self.inbox is not None:
            self._puller.ended(self)
            self._puller.run_errand(self._puller.link.close_inbox(self.inbox))

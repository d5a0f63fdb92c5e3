"""Asking a consumer for messages: one request, which takes what is there, or waits for the first.

nats-py's `fetch` is not used: it loses time, and, when it is cancelled, the messages that arrive afterwards.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from waybill.envelope import Unwrapped, unwrap

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
_MARGIN: Final = 0.5
"""Seconds that the end of a pull may need to arrive: one whose time is over and that has not ended is dead."""
_PATIENCE: Final = 2.0
"""Seconds after which the same is thought of one that was to take what is there."""
MOMENT: Final = 0.01
"""Seconds that an open request waits for the next pull, and that what comes of it meanwhile is kept."""
_SHORT: Final = 9
"""The words of an ack subject; there are more where it names a domain."""


@dataclass(eq=False, slots=True)
class Raw:
    """A delivered message, as it came."""

    lane: Lane
    subject: str
    reply: str
    data: bytes
    unwrapped: Unwrapped
    """What the data mean. It is read as they arrive, while the server sends the next message."""
    arrived: float
    """By `time.monotonic`."""
    delivered: int
    """So many times, this one included."""
    seq: int
    stored: int
    """When, in nanoseconds since 1970."""

    @classmethod
    def of(cls, lane: Lane, subject: bytes, reply: bytes, data: bytes) -> Raw:
        now = time.monotonic()  # first: the lease runs, however long it takes to read a large message
        words = reply.split(b".")
        at = 4 if len(words) == _SHORT else 6
        delivered, seq, stored = int(words[at]), int(words[at + 1]), int(words[at + 3])
        unwrapped = unwrap(data, queue=lane.queue, broker_id=f"{lane.stream}:{seq}")
        return cls(lane, subject.decode(), reply.decode(), data, unwrapped, now, delivered, seq, stored)


class Pull:
    """One request and what came of it: messages, and at the end a status, if it did not get all it asked for."""

    def __init__(self, lane: Lane, batch: int, changed: Callable[[], object]) -> None:
        self.lane, self.batch, self.changed = lane, batch, changed
        self.messages: list[Raw] = []
        self.status, self.words = 0, ""
        self.over, self.waits = False, False
        self.dead = math.inf
        """By `time.monotonic`: from then on nothing comes of it, not even its end."""
        self.slot: _Slot | None = None

    def leave(self, limit: int | None = None) -> list[Raw]:
        """Be done with it: what came, *limit* at most, unless it was left before.

        A request that is still open waits for the next pull, and so does for a moment what was too much.
        """
        slot, self.slot = self.slot, None
        if slot is None:
            return []
        limit = len(self.messages) if limit is None else limit
        slot.leave(self.messages[limit:])
        return self.messages[:limit]


class Puller:
    """The pulls of one link, each in an inbox of its own, as a message does not tell which request it answers.

    A request that is open when its pull is left is taken over by the next pull that waits at the same lane: receivers
    come again at once, and most levels have nothing most of the time. If none comes it is withdrawn.

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
        self.free: list[_Slot] = []
        self.standing: dict[Lane, _Slot] = {}
        """Open requests at which nobody waits."""
        self.open: set[_Slot | None] = set()
        self._ended: asyncio.Future[None] | None = None

    @property
    def longest(self) -> float:
        """Seconds that a pull may wait. Brief ones differ, so that those of several receivers do not end together."""
        return math.inf if self.withdraws else random.uniform(0.6, 1.0) * _BRIEF  # noqa: S311 - no secret

    def take_over(self, pull: Pull) -> bool:
        """Let a pull have an open request of its lane, and what came of it meanwhile; False: there is none."""
        slot = self.standing.pop(pull.lane, None)
        if slot is None:
            return False
        if slot.left > 2 * pull.batch:  # it might bring more than is wanted
            slot.give_up()
            return False
        slot.serve(pull)
        return True

    async def begin(self, pull: Pull, wait: float | None) -> None:
        """Send the request; without *wait* (seconds, `longest` at most) it takes what is there."""
        slot = self.free.pop() if self.free else _Slot(self)
        if slot.inbox is None:
            slot.inbox = await self.link.open_inbox(slot.heard)
        request: dict[str, object] = {"batch": pull.batch, "no_wait": True}
        if wait is not None:
            # Both together: what is there at once, else the first to come, and nothing is waited for after that.
            request["expires"] = max(int(wait * 1e9), 1_000_000)
        slot.lane, slot.left = pull.lane, pull.batch
        slot.dead = time.monotonic() + (_PATIENCE if wait is None else wait + _MARGIN)
        slot.waits = wait is not None
        slot.serve(pull)
        self.open.add(slot)
        self.link.tell(pull.lane.subject, _encode(request), slot.inbox.subject)

    async def end(self) -> None:
        """Give back what nobody came for, and wait until what cannot be withdrawn has ended."""
        for slot in list(self.standing.values()):
            slot.give_up()
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
    """An inbox, and the request that is under way in it."""

    def __init__(self, puller: Puller) -> None:
        self.inbox: Inbox | None = None
        self.lane: Lane | None = None
        self.left = 0
        """So many messages may still come; 0: it has ended."""
        self.dead = 0.0
        self.waits = False
        self._pull: Pull | None = None
        """None: nobody waits for it."""
        self._kept: list[Raw] = []
        """What came while nobody waited, until somebody does, for a moment."""
        self._puller = puller
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def serve(self, pull: Pull) -> None:
        """What comes, and what came while nobody waited, is this pull's."""
        self._stop_timer()
        self._pull, pull.slot, pull.dead, pull.waits = pull, self, self.dead, self.waits
        pull.messages, self._kept = self._kept, []
        pull.over = self.left <= 0

    def heard(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        lane, pull = self.lane, self._pull
        if lane is None:
            return
        self.left = self.left - 1 if reply else 0
        if self.left <= 0:
            self._puller.ended(self)
        if pull is not None:
            if reply:
                pull.messages.append(Raw.of(lane, subject, reply, data))
            elif headers is not None:
                pull.status, pull.words = status_of(headers)
            pull.over = self.left <= 0
            pull.changed()
        elif reply:
            raw = Raw.of(lane, subject, reply, data)
            if self._puller.standing.get(lane) is self:
                self._kept.append(raw)
                if len(self._kept) == 1:
                    self._give_up_in(MOMENT)
            else:
                self._puller.stray(raw)
        if pull is None and self.left <= 0 and not self._kept:
            self._rest()

    def leave(self, kept: list[Raw]) -> None:
        """Nobody waits any more, for now."""
        self._pull, self._kept = None, kept
        lane, standing = self.lane, self._puller.standing
        assert lane is not None
        if lane not in standing and (kept or (self.left > 0 and self.waits)):
            standing[lane] = self
            self._give_up_in(MOMENT if kept or self._puller.withdraws else self.dead - time.monotonic())
        else:
            self.give_up()

    def give_up(self) -> None:
        """Nobody came: what was kept goes back, and the request is withdrawn, or left to die."""
        self._stop_timer()
        assert self.lane is not None
        if self._puller.standing.get(self.lane) is self:
            del self._puller.standing[self.lane]
        kept, self._kept = self._kept, []
        for raw in kept:
            self._puller.stray(raw)
        if self.left <= 0:
            self._rest()
        elif self._puller.withdraws or time.monotonic() >= self.dead:
            self._close()
        else:
            self._give_up_in(self.dead - time.monotonic())

    def _rest(self) -> None:
        """It has ended, and the inbox is free for the next."""
        self._stop_timer()
        if self.lane is not None and self._puller.standing.get(self.lane) is self:
            del self._puller.standing[self.lane]
        if not self._closed:
            self._puller.free.append(self)

    def _close(self) -> None:
        self._closed = True
        self._puller.ended(self)
        if self.inbox is not None and not self._puller.link.ended:
            self._puller.run_errand(self._puller.link.close_inbox(self.inbox))

    def _give_up_in(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), self.give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

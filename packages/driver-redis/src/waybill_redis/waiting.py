"""Receivers that wait. A token in the queue's list says "look", and the look is at the server already.

Behind the BLPOP that waits for a token, on the same connection, stands the call of the script that leases: the server
runs it as soon as the token comes, so that a message is on its way without a round trip. Whatever becomes of the one
who waits, that call comes to an end at once: a nudge ends the BLPOP, and what was leased in vain is given back.
"""

from __future__ import annotations

import asyncio
from secrets import token_hex
from typing import Any, Final, Protocol

from redis.exceptions import ResponseError

from .failures import LostError, closed, code_of
from .keys import Keys
from .keyspace import Keyspace
from .link import Link, answer_of
from .moments import micros
from .packing import pack, pack_call
from .scripts import Script, script

_RING: Final = script("ring_queue")
_NUDGE: Final = script("nudge")
_MOVING: Final = ("MOVED", "TRYAGAIN", "CLUSTERDOWN")
_SLACK: Final = 0.05
"""Seconds by which the server would end a BLPOP later than a nudge does: only if that does not arrive."""


class Look(Protocol):
    """What is to be called once there may be something."""

    script: Script

    def arguments(self, seconds: float) -> tuple[bytes | str | int, ...]:
        """Of the script, whose answer is waited for so long."""
        ...

    def undo(self, answer: Any) -> None:
        """Nobody waits for the answer any more."""
        ...


class Bell:
    """The receivers of one driver that wait for the same queues. One of them has a call at the server, for all."""

    def __init__(self, space: Keyspace, keys: Keys, queues: tuple[str, ...]) -> None:
        self._space, self._keys, self.queues = space, keys, queues
        self._every = keys.of(*queues)
        self._own = keys.nudge(queues[0], token_hex(8))
        self._wake = [*(keys.wake(queue) for queue in queues), self._own]
        self._timeout = space.options.timeout.total_seconds()
        self._idle = space.options.look.total_seconds()
        self._link: Link | None = None
        self._turn = asyncio.Lock()
        self._used = False

    async def wait(self, look: Look, seconds: float) -> Any:
        """What the look finds when somebody rings, or else in *seconds*; None: it is time to look, the other way.

        Raises:
            redis.RedisError, OSError, LostError, UnansweredError: see failures.py.
            DriverClosedError: the driver was closed meanwhile.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            async with asyncio.timeout_at(end):
                await self._turn.acquire()
        except TimeoutError:
            return None
        try:
            return await self._wait(look, end)
        except LostError as error:
            if self._space.closing:
                raise closed() from error
            raise
        except ResponseError as error:
            if code_of(error) not in _MOVING:
                raise
            if self._link is not None:
                self._link.end(LostError("the queue has moved", sent=False))
            return None
        finally:
            self._turn.release()

    def pass_on(self) -> None:
        """This receiver leaves with a change ahead that it had meant to watch: let another one, if that is soon."""
        for queue in self.queues:
            self._space.post(_RING, self._keys.of(queue), ("0", micros(self._space.options.look)))

    def end(self) -> None:
        """The driver is being closed: end the wait of the one whose turn it is, and so of all."""
        if self._turn.locked():
            self._nudge()

    def _nudge(self) -> None:
        self._space.post(_NUDGE, (self._own,), ())

    async def _wait(self, look: Look, end: float) -> Any:
        if self._space.closing:
            raise closed()
        loop = asyncio.get_running_loop()
        link = self._link
        if link is None or link.ended:
            link = self._link = await self._space.connect(self._wake[0])
            loop.call_later(self._idle, self._hang_up_unless_used, link)
        self._used = True
        left = max(end - loop.time(), 0)
        until = loop.time() + left + self._timeout
        by_digest, whole = pack_call(look.script, self._every, look.arguments(left + self._timeout))
        listening = link.send(pack("BLPOP", *self._wake, f"{left + _SLACK:.3f}"), until)
        looking = link.send(by_digest, until, undo=look.undo, fallback=whole)
        timer = loop.call_at(end, self._nudge)
        try:
            answer = await answer_of(looking, look.undo)
        except asyncio.CancelledError:
            if looking.cancelled():
                self._nudge()
            raise
        finally:
            timer.cancel()
        if self._space.closing:
            look.undo(answer)
            raise closed()
        if (refused := listening.exception()) is not None:
            look.undo(answer)
            raise refused
        return answer

    def _hang_up_unless_used(self, link: Link) -> None:
        if link.ended:
            return
        if self._used or link.busy:
            self._used = False
            asyncio.get_running_loop().call_later(self._idle, self._hang_up_unless_used, link)
        else:  # nobody has waited for a while
            link.end(LostError("not used", sent=False))

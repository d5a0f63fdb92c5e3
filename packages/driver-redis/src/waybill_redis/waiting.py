"""Receivers that wait, and what ends their wait: a token in the queue's list, the next change that is known, time.

Each set of queues that is waited for has a link of its own with one BLPOP on it. That takes nothing but a token which
says "look", so whatever becomes of the answer, no message hangs on it; a token that is not used is passed on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from .failures import LostError, closed, code_of
from .keys import Keys
from .keyspace import Keyspace
from .link import Link
from .moments import micros
from .packing import pack
from .scripts import script

_RING: Final = script("ring_queue")
_MOVING: Final = ("MOVED", "TRYAGAIN", "CLUSTERDOWN")


class Bell:
    """The receivers of one driver that wait for the same queues."""

    def __init__(self, space: Keyspace, keys: Keys, queues: Sequence[str]) -> None:
        self._space, self._keys, self._queues = space, keys, queues
        self.look = space.options.look.total_seconds()
        self._link: Link | None = None
        self._listening: asyncio.Future[Any] | None = None
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self._connecting = asyncio.Lock()

    async def listen(self) -> None:
        """Have a BLPOP outstanding, so that nothing is missed from now on.

        Raises:
            redis.RedisError, OSError, LostError: there is no connection.
        """
        if self._listening is not None and not self._listening.done():
            return
        async with self._connecting:
            if self._link is None or self._link.ended:
                self._link = await self._space.connect(self._keys.wake(self._queues[0]))
            if self._listening is None or self._listening.done():
                self._ask(self._link)

    def add(self, waiter: asyncio.Future[bool]) -> None:
        """Wake it by the next token, unless others wait for that."""
        self._waiters.append(waiter)

    def remove(self, waiter: asyncio.Future[bool]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def pass_on(self, *, used: bool) -> None:
        """Let another receiver look: now, or if this one leaves with a change ahead that it had meant to watch."""
        if not self._space.closing:
            self._ring(*(("0", micros(self._space.options.look)) if used else ("1",)))

    def _ring(self, *when: str | int) -> None:
        for queue in self._queues:
            self._space.post(_RING, self._keys.of(queue), when)

    def end(self) -> None:
        """The driver is being closed: end every wait, and hang up, as the BLPOP may have long to go."""
        while self._waiters:
            _end(self._waiters.popleft(), closed())
        if self._link is not None and not self._link.ended:
            self._link.end(closed())
            self._ring("1")  # a token may be on its way here

    def _ask(self, link: Link) -> None:
        wake = [self._keys.wake(queue) for queue in self._queues]
        self._listening = link.send(pack("BLPOP", *wake, f"{self.look:.3f}"))
        self._listening.add_done_callback(self._heard)

    def _heard(self, listening: asyncio.Future[Any]) -> None:
        if listening.cancelled():
            return
        error = listening.exception()
        if error is not None:
            self._failed(error)
            return
        token = listening.result() is not None
        while self._waiters and token:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(True)
                token = False
        if token:
            self.pass_on(used=False)
        elif self._link is not None and not self._link.ended:
            if self._waiters:
                self._ask(self._link)
            else:  # nobody has waited for a while
                self._link.end(LostError("not used", sent=False))

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, ResponseError) and code_of(error) in _MOVING:
            if self._link is not None:
                self._link.end(LostError("the queue has moved", sent=False))
            while self._waiters:  # they find where it is when they look
                _wake(self._waiters.popleft())
            return
        lost = closed() if self._space.closing else LostError(str(error), sent=False)
        while self._waiters:
            _end(self._waiters.popleft(), lost)


async def wait(bells: Sequence[Bell], seconds: float) -> None:
    """Until it is time to look.

    Raises:
        LostError, DriverClosedError: a connection has ended; or the driver is being closed.
    """
    waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    for bell in bells:
        bell.add(waiter)
    timer = waiter.get_loop().call_later(min(seconds, *(bell.look for bell in bells)), _wake, waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None and waiter.result():
            for bell in bells:
                bell.pass_on(used=False)
        raise
    finally:
        timer.cancel()
        for bell in bells:
            bell.remove(waiter)


def _wake(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)


def _end(waiter: asyncio.Future[bool], error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)
        waiter.exception()

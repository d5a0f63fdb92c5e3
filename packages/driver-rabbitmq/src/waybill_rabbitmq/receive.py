"""Receiving: messages are pushed while somebody waits for them, and what nobody takes goes back soon."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from waybill.driver import Delivery
from waybill.errors import WaybillError
from waybill.timing import ZERO

from .failures import EXPECTED, LostError, closed
from .held import Held, Holdings
from .records import due_of, rest_of
from .server import PATIENCE, Server
from .storing import order, store_one
from .tap import Tap

_LINGER: Final = 0.05
"""Seconds that messages go on being pushed after the last receive: the next one is near, as a rule."""
_STARVING: Final = 0.02
"""Seconds that a receive waits for others to settle before more is pushed beside what is out."""


_PAUSE: Final = 1.0
"""Seconds before a message that could not be put back is given to the queue again, from where it comes at once."""
_logger: Final = logging.getLogger("waybill.rabbitmq")


class Receiving:
    """The receivers of one open driver, and the taps they draw from."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._server_counts = server.options.queue_type != "classic"
        self.holdings = Holdings()
        self._taps: dict[str, Tap] = {}
        self._opening: dict[str, asyncio.Task[Tap]] = {}
        self._waiters: dict[asyncio.Future[None], Sequence[str]] = {}
        self._demand: dict[str, int] = {}
        self._resting: dict[str, asyncio.TimerHandle] = {}
        self._errands: set[asyncio.Task[Any]] = set()

    async def receive(self, queues: Sequence[str], limit: int, wait: timedelta) -> list[Delivery]:
        """Up to *limit* messages; the first of them is waited for."""
        self._server.check_caller()
        names = tuple(dict.fromkeys(queues))
        if limit < 1 or not names:
            return []
        end = asyncio.get_running_loop().time() + wait.total_seconds()
        found = self._take(names, limit) if self._all_open(names) else []
        if found:
            return found
        with self._wanting(names, limit):
            if wait <= ZERO or not self._all_open(names):
                await self._in_time(self._look(names, limit))
                found = self._take(names, limit)
            return found or await self._wait(names, limit, end)

    # -- looking and waiting ---------------------------------------------------------------------------

    def _all_open(self, names: Sequence[str]) -> bool:
        """Whether each of these queues pushes what comes."""
        return all(name in self._taps and self._taps[name].consuming for name in names)

    @contextlib.contextmanager
    def _wanting(self, names: Sequence[str], limit: int) -> Iterator[None]:
        """Messages are waited for."""
        for name in names:
            self._demand[name] = self._demand.get(name, 0) + limit
        try:
            yield
        finally:
            for name in names:
                self._demand[name] -= limit
                if not self._demand[name]:
                    del self._demand[name]
                if name in self._taps:
                    self._touch(self._taps[name])
            self._ring(names)

    def wanted(self, queue: str) -> int:
        """How many of a queue's messages are waited for now."""
        return self._demand.get(queue, 0)

    async def _look(self, names: Sequence[str], limit: int) -> None:
        """Have what is there come in, earlier queues first, and no more than *limit* of it."""
        taps = [await self._tap(name) for name in names]
        counts = await asyncio.gather(*(tap.count() for tap in taps))
        room = limit
        for tap, ready in zip(taps, counts, strict=True):
            await tap.settle_in(ready + len(tap.parked), room)
            room -= min(room, len(tap.parked))
            if not room:
                break

    async def _wait(self, names: Sequence[str], limit: int, end: float) -> list[Delivery]:
        loop = asyncio.get_running_loop()
        for name in names if end > loop.time() else ():
            tap = self._taps.get(name)
            if tap is not None and not tap.consuming:
                await self._in_time(tap.widen(limit))
        while True:
            found = self._take(names, limit)
            left = end - loop.time()
            if found or left <= 0:
                return found
            taps = [self._taps[name] for name in names if name in self._taps]
            starved = [tap for tap in taps if tap.starved]
            await self._hear(names, min(left, _STARVING) if starved else left)
            for tap in starved:
                if tap.starved and not tap.parked:
                    await self._in_time(tap.widen(self.wanted(tap.queue)))

    async def _hear(self, names: Sequence[str], seconds: float) -> None:
        """Until something may have come.

        Raises:
            LostError, DriverClosedError: nothing will.
        """
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[None] = loop.create_future()
        self._waiters[heard] = names
        timer = loop.call_later(seconds, _wake, heard)
        try:
            await heard
        finally:
            timer.cancel()
            del self._waiters[heard]

    def _ring(self, names: Sequence[str]) -> None:
        """Let the first who waits for one of these queues look, if there is something to see."""
        for name in names:
            tap = self._taps.get(name)
            if tap is None or not (tap.parked or tap.starved):
                continue
            for heard, wanted in self._waiters.items():
                if name in wanted and not heard.done():
                    _wake(heard)
                    break

    # -- taps ------------------------------------------------------------------------------------------

    async def _tap(self, queue: str) -> Tap:
        """The queue's tap; opened once, for all who ask and also for one who was cancelled."""
        tap = self._taps.get(queue)
        if tap is not None:
            return tap
        opening = self._opening.get(queue)
        if opening is None:
            opening = self._opening[queue] = asyncio.ensure_future(self._open(queue))
            opening.add_done_callback(lambda done: self._opened(queue, done))
        return await asyncio.shield(opening)

    async def _open(self, queue: str) -> Tap:
        server = self._server
        topology = await server.receiving.declared()
        await topology.queue(queue)
        link = await server.receiving.link()
        channel = await link.channel()
        tap = Tap(channel, server.names.queue(queue), queue, self, server.options.prefetch)
        channel.watch(lambda reason: self._ended(tap, reason))
        return tap

    def _opened(self, queue: str, done: asyncio.Task[Tap]) -> None:
        self._opening.pop(queue, None)
        if not done.cancelled() and done.exception() is None and done.result().channel.ended is None:
            self._taps[queue] = done.result()

    def _ended(self, tap: Tap, reason: Exception) -> None:
        self.holdings.drop(tap.epoch)
        if self._taps.get(tap.queue) is tap:
            del self._taps[tap.queue]
        topology = self._server.receiving.topology
        if topology is not None:
            topology.forget(tap.queue)
        lost = closed() if self._server.closing else LostError(str(reason), sent=True)
        lost.__cause__ = reason
        for heard, wanted in self._waiters.items():
            if tap.queue in wanted and not heard.done():
                heard.set_exception(lost)

    def arrived(self, held: Held) -> None:
        """A message has come in."""
        rest = rest_of(held.properties, datetime.now(UTC))
        if rest > ZERO or (held.redelivered and not self._server_counts):
            # Of a message that was out before, a classic queue tells no more: noted on a copy, attempts add up.
            self._spawn(self._send_round(held, rest))
            return
        held.tap.park(held)
        if self.wanted(held.tap.queue):
            self._ring((held.tap.queue,))
        else:
            self._touch(held.tap)

    def _take(self, names: Sequence[str], limit: int) -> list[Delivery]:
        taken: list[Delivery] = []
        for name in names:
            tap = self._taps.get(name)
            if tap is not None:
                taken += [self._hand_out(held) for held in tap.take(limit - len(taken))]
        return taken

    def _hand_out(self, held: Held) -> Delivery:
        self.holdings.add(held)
        return Delivery(held.message, held.attempts_before + 1, held.receipt)

    # -- giving back -----------------------------------------------------------------------------------

    def _touch(self, tap: Tap) -> None:
        """It was just used: let it rest if that was the last time."""
        timer = self._resting.pop(tap.queue, None)
        if timer is not None:
            timer.cancel()
        if not self.wanted(tap.queue) and (tap.credit or tap.parked) and not self._server.closing:
            later = asyncio.get_running_loop().call_later(_LINGER, lambda: self._spawn(self._rest(tap)))
            self._resting[tap.queue] = later

    def settled(self, held: Held) -> None:
        """A delivery is settled, so that another may be pushed."""
        held.tap.settled(held)
        if not self.wanted(held.tap.queue) and held.tap.queue not in self._resting:
            self._touch(held.tap)

    async def _rest(self, tap: Tap) -> None:
        """Nobody waits any more: have nothing pushed, and give back what nobody has taken."""
        self._resting.pop(tap.queue, None)
        if not self.wanted(tap.queue):
            await self._in_time(tap.rest())
        while tap.parked and not self.wanted(tap.queue):
            back = tap.take(len(tap.parked))
            # The server counts what goes back as a failed delivery. Once does no harm, and keeps its place in the
            # queue; another time it goes back as a copy, whose count is as it was.
            again = [held for held in back if not self._server_counts or held.counted]
            await self._go_back(tap, [held for held in back if held not in again])
            for held in again:
                await self._send_round(held, ZERO)

    async def _leave(self, tap: Tap) -> None:
        await self._rest(tap)
        await self._in_time(tap.settling.sink_in())

    async def _send_round(self, held: Held, rest: timedelta) -> None:
        """Store a copy that waits for what is left of its time, and drop this one."""
        due = due_of(held.properties)
        copy = order(self._server.names, held.message, rest, attempts=held.attempts_before, due=due)
        try:
            await store_one(self._server, copy)
        except (*EXPECTED, WaybillError) as error:
            _logger.warning("job %r could not be put back, and is tried again: %s", held.message.id, error)
            await asyncio.sleep(_PAUSE)
            await self._go_back(held.tap, [held])
        else:
            held.tap.settled(held)
            await self._in_time(held.tap.settling.done([held.receipt.place]))

    async def _go_back(self, tap: Tap, some: Sequence[Held]) -> None:
        if some:
            for held in some:
                tap.settled(held)
            await self._in_time(tap.settling.back([held.receipt.place for held in some]))

    async def _in_time(self, work: Awaitable[None]) -> None:
        await self._server.within(self._server.receiving, work)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        errand = asyncio.get_running_loop().create_task(self._guard(work))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        # If it fails its connection has ended, and what it held has gone back by that.
        with contextlib.suppress(*EXPECTED, WaybillError):
            await work

    async def close(self) -> None:
        """End every wait, and give back what nobody has taken."""
        for heard in list(self._waiters):
            if not heard.done():
                heard.set_exception(closed())
        for timer in self._resting.values():
            timer.cancel()
        self._resting.clear()
        for tap in list(self._taps.values()):
            self._spawn(self._leave(tap))
        if self._errands:
            await asyncio.wait(self._errands, timeout=PATIENCE)


def _wake(heard: asyncio.Future[None]) -> None:
    if not heard.done():
        heard.set_result(None)

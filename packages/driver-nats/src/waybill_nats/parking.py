"""Messages that are parked until they are due, where the server keeps no schedules.

They lie on subjects of their own, and a consumer hands them out: what is not due yet goes back with a delay, which
the server then keeps; what is due is published where it is received. Receivers do that while they wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from .catch import Catch
from .clock import micros_at
from .failures import EXPECTED, WRONG_SEQUENCE, RefusedError
from .link import Link
from .names import Names
from .parcel import pack
from .pull import Raw
from .pullers import Pullers
from .server import Server, read
from .topology import Lane, Queue, Topology
from .unspent import NAK

_AT_ONCE: Final = 256
SUBJECT_OF_SEQUENCE: Final = (2, 11)
"""From this version on a message can be stored on condition of another subject's last one."""
_LINGER: Final = 5.0
"""Seconds that it is waited at a consumer before it is looked whether there still is a receiver."""
_LONGEST: Final = 30 * 86_400 * 1_000_000
"""Microseconds; what is parked for longer is looked at in between."""
_FULL: Final = 1_000_000
"""Microseconds until it is tried again to bring a message into a full queue."""
_TOGETHER: Final = 0.1
"""Seconds that a message is kept before it goes back for later. A consumer that is told "later" looks 10 ms after that
what has become due, and begins these 10 ms anew each time: told so all the time, it would never look again."""


class _Kept(NamedTuple):
    """A message that is to go back, by its link, and when it is due by `time.monotonic`."""

    link: Link
    raw: Raw
    until: float

    def say(self, word: bytes) -> None:
        if not self.link.ended:
            self.link.tell(self.raw.reply, word)


class Parking:
    """The parked messages that this driver's receivers watch over."""

    def __init__(self, server: Server, names: Names, topology: Topology, pullers: Pullers) -> None:
        self._server, self._names, self._topology, self._pullers = server, names, topology, pullers
        self._receivers: dict[str, int] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._far: list[_Kept] = []
        self._soon: set[_Kept] = set()

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[Callable[[Sequence[Queue]], Awaitable[None]]]:
        """While this lasts, what falls due in the queues that it is called with becomes ready."""
        mine: set[str] = set()

        async def watch(queues: Sequence[Queue]) -> None:
            for queue in queues:
                if queue.parking is not None:
                    if queue.name not in mine:
                        mine.add(queue.name)
                        self._receivers[queue.name] = self._receivers.get(queue.name, 0) + 1
                    await self._watch(queue, queue.parking)

        try:
            yield watch
        finally:
            for name in mine:
                self._receivers[name] -= 1

    async def sweep(self, queue: Queue) -> None:
        """Bring what is due now into the queue, unless a watch does so already."""
        if queue.parking is not None and not self._is_watched(queue):
            while await self._once(queue, queue.parking, None) == _AT_ONCE:
                pass

    async def put_off(self, raw: Raw) -> None:
        """A message that came before its time goes back for the rest."""
        message, due, attempts = raw.unwrapped
        assert due is not None
        queue = await self._topology.to_send(raw.lane.queue)
        parcel = pack(
            self._names,
            queue,
            message,
            raw.lane.level,
            name=f"~early.{raw.seq}",
            due=micros_at(due),
            attempts=attempts,
        )
        await self._server.publish(*parcel)
        await self._server.ask(raw.reply, b"+ACK")

    async def end(self) -> None:
        """The driver is being closed."""
        watches = list(self._watches.values())
        for each in watches:
            each.cancel()
        if watches:
            await asyncio.wait(watches)
        self._far += self._soon
        self._soon.clear()
        self._give_back()

    def _is_watched(self, queue: Queue) -> bool:
        watch = self._watches.get(queue.name)
        return watch is not None and not watch.done()

    async def _watch(self, queue: Queue, lane: Lane) -> None:
        if self._is_watched(queue):
            return
        await self.sweep(queue)
        if not self._is_watched(queue):
            self._watches[queue.name] = asyncio.get_running_loop().create_task(self._go_on(queue, lane))

    async def _go_on(self, queue: Queue, lane: Lane) -> None:
        """Pull again and again, while anybody receives.

        Where pulls are brief each begins before the last one ends, so that there is always one that waits.
        """
        pulls: set[asyncio.Task[int]] = set()
        try:
            while pulls or self._receivers.get(queue.name):
                overlap = self._pullers.of(await self._server.link()).longest / 2
                if self._receivers.get(queue.name):
                    work = self._once(queue, lane, min(_LINGER, 2 * overlap))
                    pulls.add(asyncio.get_running_loop().create_task(work))
                patience = None if math.isinf(overlap) else overlap
                done, _ = await asyncio.wait(pulls, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
                pulls -= done
        except (*EXPECTED, TimeoutError):
            pass  # the next receive begins anew
        finally:
            for each in pulls:
                each.cancel()
            await asyncio.gather(*pulls, return_exceptions=True)

    async def _once(self, queue: Queue, lane: Lane, wait: float | None) -> int:
        """Pull, and do with each what is to be done; how many came."""
        link = await self._server.link()
        catch = Catch(self._pullers.of(link))
        try:
            pull = await catch.begin(lane, _AT_ONCE, wait)
            while not pull.over and await catch.change(pull.dead):
                pass
        except BaseException:
            for raw in catch.land():
                self._keep(link, raw, 0)
            raise
        raws = catch.land()
        await self._sort(queue, raws)
        return len(raws)

    async def _sort(self, queue: Queue, raws: Sequence[Raw]) -> None:
        if not raws:
            return
        await self._server.ask_the_time()
        link, now = await self._server.link(), self._server.clock.earliest()
        moving: list[tuple[Raw, asyncio.Future[bytes]]] = []
        for raw in raws:
            message, due, attempts = raw.unwrapped
            left = 0 if due is None else micros_at(due) - now
            if left > 0:
                self._keep(link, raw, left)
                continue
            level = min(message.priority, self._server.options.priorities - 1)
            parcel = pack(self._names, queue, message, level, name=f"~due.{raw.seq}", attempts=attempts)
            if link.version >= SUBJECT_OF_SEQUENCE:  # should it have been cancelled meanwhile, it is not sent
                parcel.headers["Nats-Expected-Last-Subject-Sequence"] = str(raw.seq)
                parcel.headers["Nats-Expected-Last-Subject-Sequence-Subject"] = raw.subject
            moving.append((raw, link.ask(*parcel)))
        if moving:
            async with self._server.deadline():
                await asyncio.wait([future for _, future in moving])
        for raw, future in moving:
            try:
                read(future.result())
            except RefusedError as error:
                cancelled = error.number == WRONG_SEQUENCE
                link.tell(raw.reply, b"+ACK" if cancelled else _later(_FULL))
            except EXPECTED:
                link.tell(raw.reply, _later(_FULL))
            else:
                link.tell(raw.reply, b"+ACK")

    def _keep(self, link: Link, raw: Raw, left: int) -> None:
        """Let a message go back after so many microseconds: alone when it is due soon, else with others."""
        loop, kept = asyncio.get_running_loop(), _Kept(link, raw, time.monotonic() + left / 1e6)
        if left <= _TOGETHER * 1e6:
            self._soon.add(kept)
            loop.call_later(left / 1e6, self._bring, kept)
            return
        if not self._far:
            loop.call_later(_TOGETHER, self._give_back)
        self._far.append(kept)

    def _bring(self, kept: _Kept) -> None:
        if kept in self._soon:
            self._soon.remove(kept)
            kept.say(NAK)  # it comes again at once

    def _give_back(self) -> None:
        now = time.monotonic()
        for kept in self._far:
            kept.say(_later(max(int((kept.until - now) * 1e6), 0)))
        self._far.clear()


def _later(left: int) -> bytes:
    return b"-NAK " + json.dumps({"delay": min(left, _LONGEST) * 1000}).encode()

"""Messages that are parked until they are due, where the server keeps no schedules.

They lie on subjects of their own, and a consumer hands them out: what is not due yet goes back with a delay, which
the server then keeps; what is due is published where it is received. Receivers do that while they wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from waybill.envelope import Unwrapped, unwrap

from .catch import Catch
from .clock import micros_at
from .failures import EXPECTED, WRONG_SEQUENCE, RefusedError
from .names import Names
from .parcel import pack
from .pull import Raw
from .pullers import Pullers
from .server import Server, read
from .topology import Lane, Queue, Topology

_AT_ONCE: Final = 256
SUBJECT_OF_SEQUENCE: Final = (2, 11)
"""From this version on a message can be stored on condition of another subject's last one."""
_LINGER: Final = 5.0
"""Seconds that it is waited at a consumer before it is looked whether there still is a receiver."""
_LONGEST: Final = 30 * 86_400 * 1_000_000
"""Microseconds; what is parked for longer is looked at in between."""
_FULL: Final = 1_000_000
"""Microseconds until it is tried again to bring a message into a full queue."""


class Parking:
    """The parked messages that this driver's receivers watch over."""

    def __init__(self, server: Server, names: Names, topology: Topology, pullers: Pullers) -> None:
        self._server, self._names, self._topology, self._pullers = server, names, topology, pullers
        self._receivers: dict[str, int] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

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
                    await self._watch(queue)

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

    async def put_off(self, raw: Raw, unwrapped: Unwrapped) -> None:
        """A message that came before its time goes back for the rest."""
        message, due = unwrapped.message, unwrapped.due
        assert due is not None
        queue = await self._topology.to_send(raw.lane.queue)
        parcel = pack(
            self._names,
            queue,
            message,
            raw.lane.level,
            name=f"~early.{raw.seq}",
            due=micros_at(due),
            attempts=unwrapped.attempts,
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

    def _is_watched(self, queue: Queue) -> bool:
        watch = self._watches.get(queue.name)
        return watch is not None and not watch.done()

    async def _watch(self, queue: Queue) -> None:
        if self._is_watched(queue):
            return
        await self.sweep(queue)
        if not self._is_watched(queue):
            self._watches[queue.name] = asyncio.get_running_loop().create_task(self._go_on(queue))

    async def _go_on(self, queue: Queue) -> None:
        assert queue.parking is not None
        with contextlib.suppress(*EXPECTED, TimeoutError):  # the next receive begins anew
            while self._receivers.get(queue.name):
                await self._once(queue, queue.parking, _LINGER)

    async def _once(self, queue: Queue, lane: Lane, wait: float | None) -> int:
        """Pull, and do with each what is to be done; how many came."""
        link = await self._server.link()
        catch = Catch(self._pullers.of(link))
        try:
            pull = await catch.begin(lane, _AT_ONCE, wait)
            while not pull.over and await catch.change(time.monotonic() + (wait or 0) + 2):
                pass
        finally:
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
            unwrapped = unwrap(raw.data, queue=queue.name, broker_id=f"{raw.lane.stream}:{raw.seq}")
            left = 0 if unwrapped.due is None else micros_at(unwrapped.due) - now
            if left > 0:
                await link.tell(raw.reply, _later(left))
                continue
            message = unwrapped.message
            level = min(message.priority, self._server.options.priorities - 1)
            parcel = pack(self._names, queue, message, level, name=f"~due.{raw.seq}", attempts=unwrapped.attempts)
            if link.version >= SUBJECT_OF_SEQUENCE:  # should it have been cancelled meanwhile, it is not sent
                parcel.headers["Nats-Expected-Last-Subject-Sequence"] = str(raw.seq)
                parcel.headers["Nats-Expected-Last-Subject-Sequence-Subject"] = raw.subject
            moving.append((raw, await link.ask(*parcel)))
        if moving:
            async with self._server.deadline():
                await asyncio.wait([future for _, future in moving])
        for raw, future in moving:
            try:
                read(future.result())
            except RefusedError as error:
                cancelled = error.number == WRONG_SEQUENCE
                await link.tell(raw.reply, b"+ACK" if cancelled else _later(_FULL))
            except EXPECTED:
                await link.tell(raw.reply, _later(_FULL))
            else:
                await link.tell(raw.reply, b"+ACK")


def _later(left: int) -> bytes:
    return b"-NAK " + json.dumps({"delay": min(left, _LONGEST) * 1000}).encode()

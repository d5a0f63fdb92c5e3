"""Leasing what is ready, and waiting for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, Final, NamedTuple

from waybill.driver import Delivery
from waybill.errors import DriverClosedError
from waybill.timing import ZERO

from .failures import EXPECTED, closed
from .keys import Keys
from .keyspace import Keyspace
from .moments import micros, moment
from .records import to_message
from .scripts import script
from .waiting import Bell

_RECEIVE: Final = script("receive")
_GIVE_BACK: Final = script("give_back")
_TOKEN: Final = 9  # bytes


class _Taken(NamedTuple):
    deliveries: list[Delivery]
    next_change: float | None
    """Seconds until something falls due or a lease ends, if nothing was taken and that is known."""


_NOTHING: Final = _Taken([], None)


class Receiving:
    """The receivers of one open driver."""

    def __init__(self, space: Keyspace, keys: Keys) -> None:
        self.space, self.keys = space, keys
        self.lease, self.look = micros(space.options.lease), micros(space.options.look)
        self.ahead: dict[tuple[str, ...], int] = {}
        """By queues: what their server's clock shows more than this process's; microseconds."""
        self._timeout = space.options.timeout.total_seconds()
        self._bells: dict[tuple[str, ...], Bell] = {}

    async def receive(self, queues: Sequence[str], limit: int, within: timedelta) -> list[Delivery]:
        """Lease up to *limit*, and wait up to *within* for the first."""
        if within <= ZERO:
            return (await self._take(queues, limit)).deliveries
        loop = asyncio.get_running_loop()
        end = loop.time() + within.total_seconds()
        look = self.space.options.look.total_seconds()
        bells: list[Bell] = []
        taken = _NOTHING
        try:
            while True:
                taken = await self._take(queues, limit)
                left = end - loop.time()
                if taken.deliveries or left <= 0:
                    return taken.deliveries
                bells = bells or [self._bell(names) for names in self.space.together(tuple(dict.fromkeys(queues)))]
                soonest = look if taken.next_change is None else min(look, taken.next_change)
                found = await self._wait(bells, limit, min(left, soonest))
                if found:
                    taken = _NOTHING
                    return found
        finally:
            if not taken.deliveries and taken.next_change is not None:
                for bell in bells:
                    bell.pass_on()

    def end(self) -> None:
        """The driver is being closed: end every wait."""
        for bell in self._bells.values():
            bell.end()

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Nobody waits for them any more."""
        for delivery in deliveries:
            self.space.post(_GIVE_BACK, self.keys.of(delivery.message.queue), (0, *delivery.receipt, 0))

    def _bell(self, queues: tuple[str, ...]) -> Bell:
        if queues not in self._bells:
            self._bells[queues] = Bell(self.space, self.keys, queues)
        return self._bells[queues]

    async def _wait(self, bells: Sequence[Bell], limit: int, seconds: float) -> list[Delivery]:
        """Lease what comes to the first of some bells within a time."""
        if len(bells) == 1:
            return await self._wait_for(bells[0], limit, seconds)
        waiting = [asyncio.ensure_future(self._wait_for(bell, limit, seconds)) for bell in bells]
        first = None
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            first = next(each for each in waiting if each.done())
            return first.result()
        finally:
            others = [each for each in waiting if each is not first]
            for each in others:
                each.cancel()
            for found in await asyncio.gather(*others, return_exceptions=True):
                if isinstance(found, list):
                    self.put_back(found)

    async def _wait_for(self, bell: Bell, limit: int, seconds: float) -> list[Delivery]:
        look = _Look(self, bell.queues, limit, bell)
        answer = await bell.wait(look, seconds)
        return [] if answer is None else look.deliveries(answer)

    async def _take(self, queues: Sequence[str], limit: int) -> _Taken:
        """Lease what is there, of each group of queues that are together."""
        deliveries: list[Delivery] = []
        change: float | None = None
        for names in self.space.together(queues):
            if not deliveries or len(deliveries) < limit:
                try:
                    taken = await self._take_of(names, limit - len(deliveries))
                except asyncio.CancelledError:
                    self.put_back(deliveries)
                    raise
                except (*EXPECTED, DriverClosedError):
                    if not deliveries:
                        raise
                    break  # what was leased elsewhere must not be lost
                deliveries += taken.deliveries
                if taken.next_change is not None:
                    change = taken.next_change if change is None else min(change, taken.next_change)
        return _Taken(deliveries, change)

    async def _take_of(self, queues: tuple[str, ...], limit: int) -> _Taken:
        look = _Look(self, queues, limit)
        keys = self.keys.of(*queues)
        answer = await self.space.call(_RECEIVE, keys, look.arguments(self._timeout), undo=look.undo)
        deliveries = look.deliveries(answer)
        if len(answer) == 1:  # somebody has set the server's clock
            answer = await self.space.call(_RECEIVE, keys, look.arguments(self._timeout), undo=look.undo)
            deliveries = look.deliveries(answer)
        if self.space.closing:
            self.put_back(deliveries)
            raise closed()
        now, change = answer[-1], answer[1]
        return _Taken(deliveries, (change - now) / 1e6 + 0.0005 if change else None)


class _Look:
    """One call of the script that leases, and what its answer means."""

    script = _RECEIVE

    def __init__(self, receiving: Receiving, queues: tuple[str, ...], limit: int, bell: Bell | None = None) -> None:
        self._receiving, self._queues, self._limit, self._bell = receiving, queues, limit, bell
        self._token = token_hex(_TOKEN).encode()

    def arguments(self, seconds: float) -> tuple[bytes | str | int, ...]:
        of, ahead = self._receiving, self._receiving.ahead.get(self._queues)
        until = 0 if ahead is None else int((time.monotonic() + seconds) * 1e6) + ahead
        return max(self._limit, 0), of.lease, self._token, of.look, until

    def undo(self, answer: list[Any]) -> None:
        deliveries = self.deliveries(answer)
        self._receiving.put_back(deliveries)
        if self._bell is not None and not deliveries:
            self._bell.pass_on()  # it may have had the token of somebody who would have watched the clock

    def deliveries(self, answer: list[Any]) -> list[Delivery]:
        if len(answer) == 1:  # it came too late, by a clock that was set perhaps
            self._receiving.ahead.pop(self._queues, None)
            return []
        self._receiving.ahead[self._queues] = int(answer[-1] - time.monotonic() * 1e6)
        until: datetime = moment(answer[0])
        at = 2 + len(self._queues)
        made: list[Delivery] = []
        for queue, count in zip(self._queues, answer[2:at], strict=True):
            for _ in range(count):
                job_id, record, attempt = answer[at : at + 3]
                made.append(Delivery(to_message(queue, job_id, record), attempt, (job_id, self._token), until))
                at += 3
        return made

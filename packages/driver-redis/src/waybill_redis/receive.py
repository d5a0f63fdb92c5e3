"""Leasing what is ready, and waiting for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from secrets import token_bytes
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
from .waiting import Bell, wait

_RECEIVE: Final = script("receive")
_GIVE_BACK: Final = script("give_back")
_TOKEN: Final = 9  # bytes


class _Taken(NamedTuple):
    deliveries: list[Delivery]
    next_change: float | None
    """Seconds until something falls due or a lease ends, if nothing was taken and that is known."""


class Receiving:
    """The receivers of one open driver."""

    def __init__(self, space: Keyspace, keys: Keys) -> None:
        self._space, self._keys = space, keys
        self._lease, self._look = micros(space.options.lease), micros(space.options.look)
        self._timeout = micros(space.options.timeout)
        self._ahead: dict[tuple[str, ...], int] = {}
        """By queues: what their server's clock shows more than this process's."""
        self._bells: dict[tuple[str, ...], Bell] = {}

    async def receive(self, queues: Sequence[str], limit: int, within: timedelta) -> list[Delivery]:
        """Lease up to *limit*, and wait up to *within* for the first."""
        if within <= ZERO:
            return (await self._take(queues, limit)).deliveries
        loop = asyncio.get_running_loop()
        end = loop.time() + within.total_seconds()
        bells: list[Bell] = []
        taken: _Taken | None = None
        try:
            while True:
                taken = await self._take(queues, limit)
                left = end - loop.time()
                if taken.deliveries or left <= 0:
                    return taken.deliveries
                bells = bells or [self._bell(names) for names in self._space.together(tuple(dict.fromkeys(queues)))]
                for bell in bells:
                    await bell.listen()
                await wait(bells, left if taken.next_change is None else min(left, taken.next_change))
        finally:
            if taken is not None and not taken.deliveries and taken.next_change is not None:
                for bell in bells:
                    bell.pass_on(used=True)

    def end(self) -> None:
        for bell in self._bells.values():
            bell.end()

    def _bell(self, queues: tuple[str, ...]) -> Bell:
        if queues not in self._bells:
            self._bells[queues] = Bell(self._space, self._keys, queues)
        return self._bells[queues]

    async def _take(self, queues: Sequence[str], limit: int) -> _Taken:
        """Lease what is there, of each group of queues that are together."""
        deliveries: list[Delivery] = []
        change: float | None = None
        for names in self._space.together(queues):
            if not deliveries or len(deliveries) < limit:
                try:
                    taken = await self._take_of(names, limit - len(deliveries))
                except asyncio.CancelledError:
                    self._put_back(deliveries)
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
        token = token_bytes(_TOKEN).hex().encode()

        def put_back(answer: list[Any]) -> None:
            if len(answer) == 1:
                return
            self._put_back(_deliveries(answer, queues, token))

        async def ask(until: int) -> list[Any]:
            arguments = (max(limit, 0), self._lease, token, self._look, until)
            taken: list[Any] = await self._space.call(_RECEIVE, self._keys.of(*queues), arguments, undo=put_back)
            self._ahead[queues] = int(taken[-1] - time.monotonic() * 1e6)
            return taken

        ahead = self._ahead.get(queues)
        answer = await ask(0 if ahead is None else int(time.monotonic() * 1e6) + ahead + self._timeout)
        if len(answer) == 1:  # somebody has set the server's clock
            answer = await ask(0)
        if self._space.closing:
            put_back(answer)
            raise closed()
        now, change = answer[-1], answer[1]
        return _Taken(_deliveries(answer, queues, token), (change - now) / 1e6 + 0.0005 if change else None)

    def _put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Nobody waits for them any more."""
        for delivery in deliveries:
            self._space.post(_GIVE_BACK, self._keys.of(delivery.message.queue), (0, *delivery.receipt, 0))


def _deliveries(answer: list[Any], queues: Sequence[str], token: bytes) -> list[Delivery]:
    until: datetime = moment(answer[0])
    at = 2 + len(queues)
    made: list[Delivery] = []
    for queue, count in zip(queues, answer[2:at], strict=True):
        for _ in range(count):
            job_id, record, attempt = answer[at : at + 3]
            made.append(Delivery(to_message(queue, job_id, record), attempt, (job_id, token), until))
            at += 3
    return made

"""Leasing what is ready, and waiting for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Any, Final, NamedTuple

from waybill.driver import Delivery
from waybill.timing import ZERO

from .failures import closed
from .keys import Keys
from .moments import micros, moment
from .records import to_message
from .scripts import script
from .server import Server
from .waiting import Bell

_RECEIVE: Final = script("receive")
_GIVE_BACK: Final = script("give_back")
_TOKEN: Final = 9  # bytes


class _Taken(NamedTuple):
    deliveries: list[Delivery]
    next_change: float | None
    """Seconds until something falls due or a lease ends, if nothing was taken and that is known."""


class Receiving:
    """The receivers of one open driver."""

    def __init__(self, server: Server, keys: Keys) -> None:
        self._server, self._keys = server, keys
        self._lease, self._look = micros(server.options.lease), micros(server.options.look)
        self._timeout = micros(server.options.timeout)
        self._ahead: int | None = None
        """What the server's clock shows more than this process's."""
        self._bells: dict[tuple[str, ...], Bell] = {}

    async def receive(self, queues: Sequence[str], limit: int, wait: timedelta) -> list[Delivery]:
        """Lease up to *limit*, and wait up to *wait* for the first."""
        if wait <= ZERO:
            return (await self._take(queues, limit)).deliveries
        loop = asyncio.get_running_loop()
        end = loop.time() + wait.total_seconds()
        names = tuple(dict.fromkeys(queues))
        bell: Bell | None = None
        taken: _Taken | None = None
        try:
            while True:
                taken = await self._take(queues, limit)
                left = end - loop.time()
                if taken.deliveries or left <= 0:
                    return taken.deliveries
                if bell is None:
                    bell = self._bells.get(names)
                    if bell is None:
                        bell = self._bells[names] = Bell(self._server, self._keys, names)
                await bell.listen()
                await bell.wait(left if taken.next_change is None else min(left, taken.next_change))
        finally:
            if bell is not None and taken is not None and not taken.deliveries and taken.next_change is not None:
                bell.pass_on(used=True)

    def end(self) -> None:
        for bell in self._bells.values():
            bell.end()

    async def _take(self, queues: Sequence[str], limit: int) -> _Taken:
        token = token_bytes(_TOKEN).hex().encode()

        def put_back(answer: list[Any]) -> None:
            if len(answer) == 1:
                return
            for delivery in _deliveries(answer, queues, token):
                job_id, _ = delivery.receipt
                keys = self._keys.of(delivery.message.queue)
                self._server.post(_GIVE_BACK, keys, (0, job_id, token, 0))

        async def ask(until: int) -> list[Any]:
            arguments = (max(limit, 0), self._lease, token, self._look, until)
            taken: list[Any] = await self._server.call(_RECEIVE, self._keys.of(*queues), arguments, undo=put_back)
            self._ahead = int(taken[-1] - time.monotonic() * 1e6)
            return taken

        answer = await ask(0 if self._ahead is None else int(time.monotonic() * 1e6) + self._ahead + self._timeout)
        if len(answer) == 1:  # somebody has set the server's clock
            answer = await ask(0)
        if self._server.closing:
            put_back(answer)
            raise closed()
        now, change = answer[-1], answer[1]
        return _Taken(_deliveries(answer, queues, token), (change - now) / 1e6 + 0.0005 if change else None)


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

"""Leasing what is ready, and waiting for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from waybill.driver import Delivery

from .catch import Catch
from .clock import micros_at
from .failures import AbsentError, RefusedError
from .parking import Parking
from .pull import MOMENT, Pull, Raw
from .pullers import Pullers
from .receipt import Receipt, seconds_held
from .server import Server
from .topology import Lane, Queue, Topology
from .unique import UniqueKeys
from .unspent import Unspent

_SILENT: Final = 0.25
"""Seconds without an answer after which it is looked whether the consumer is there at all."""
_AT_ONCE: Final = 0.0005
"""Seconds within which a receive follows on the last one without a turn of the loop between them."""
_SLACK: Final = 0.02
"""Seconds that a pull may end late before it is left to the next receive."""
_TOLERANCE: Final = 20_000
"""Microseconds by which two looks at the server's clock may differ."""
_MOMENT: Final = 0.3
"""Seconds that a server is given to be done with deleting: one of 2.9 makes a consumer else that delivers nothing."""
_PENDING: Final = 408
_CONFLICT: Final = 409
_NO_RESPONDERS: Final = 503
_logger: Final = logging.getLogger("waybill.nats")


class Receiving:
    """The receivers of one open driver."""

    def __init__(
        self,
        server: Server,
        topology: Topology,
        pullers: Pullers,
        *,
        keys: UniqueKeys,
        unspent: Unspent,
        parking: Parking,
    ) -> None:
        self._server, self._topology, self._pullers = server, topology, pullers
        self._keys, self._unspent, self._parking = keys, unspent, parking
        self._held = seconds_held(server.options.lease)
        self._empty: set[Lane] = set()
        """Lanes that had nothing when they were asked last."""
        self._left = 0.0
        """When a receive ended last."""

    async def receive(self, queues: Sequence[str], limit: int, wait: timedelta) -> list[Delivery]:
        """Lease up to *limit*, and wait up to *wait* for the first."""
        self._server.check_caller()
        seconds = max(wait.total_seconds(), 0.0)
        end = time.monotonic() + seconds
        names = list(dict.fromkeys(queues))
        if time.monotonic() < self._left + _AT_ONCE:
            await asyncio.sleep(0)  # what was just received begins first
        async with self._server.deadline(seconds + self._server.seconds), self._parking.watched() as watch:
            while limit > 0:
                found = [await self._topology.to_receive(name) for name in names]
                await watch(found)
                raws = await self._take(found, limit, end)
                if raws and (deliveries := await self._deliver(raws)):
                    return deliveries
                if time.monotonic() >= end:
                    break
        return []

    async def _take(self, queues: Sequence[Queue], limit: int, end: float) -> list[Raw]:
        lanes = [lane for queue in queues for lane in queue.lanes]
        catch = Catch(self._pullers.of(await self._server.link()))
        try:
            if sum(lane not in self._empty for lane in lanes) > 1:
                for lane in lanes:  # in turn, so that no more comes than is wanted
                    if catch.count < limit:
                        await self._ask(catch, [lane], limit - catch.count, everywhere=True)
            elif time.monotonic() >= end:
                await self._ask(catch, lanes, limit, everywhere=True)
            elif sum(catch.waiting(lane, limit) is None for lane in lanes) > 1:
                await self._ask(catch, lanes, limit, everywhere=False)
            if not catch.count and time.monotonic() < end:
                await self._wait(catch, lanes, limit, end)
            elif time.monotonic() < self._left + MOMENT:
                await self._stay(catch, lanes, limit, end)
        except BaseException:
            for raw in catch.land():
                self._unspent.stray(raw)
            raise
        self._left = time.monotonic()
        return catch.land(limit)

    async def _ask(self, catch: Catch, lanes: Sequence[Lane], batch: int, *, everywhere: bool) -> None:
        """Take what is there, at all these lanes in the time of one question.

        Where a pull waits there is nothing, or it is on its way; *everywhere*: it must have arrived.
        """
        asked: list[tuple[Pull | None, Pull]] = []
        for lane in lanes:
            before = catch.waiting(lane, batch)
            wanted = batch - (0 if before is None else len(before.messages))
            if wanted > 0 and (everywhere or before is None):
                asked.append((before, await catch.begin(lane, wanted)))
        while not all(pull.over for _, pull in asked):
            if not await catch.change(time.monotonic() + _SILENT):
                for _, pull in asked:
                    if not pull.over:
                        await self._look_for(pull.lane)
                return
        for before, pull in asked:
            # The server refuses to answer when the pull that was there before is about to have all there is.
            while before is not None and pull.status == _PENDING and not (pull.messages or before.messages):
                if before.over or not await catch.change(time.monotonic() + _SILENT):
                    break
            await self._judge(pull if before is None or pull.messages else before)

    async def _wait(self, catch: Catch, lanes: Sequence[Lane], limit: int, end: float) -> None:
        """Wait at every lane for the first that has something."""
        end = min(end, time.monotonic() + catch.longest)
        pulls: list[Pull] = []
        for lane in lanes:
            if not catch.count:
                left = max(end - time.monotonic(), 0.0)
                pulls.append(catch.waiting(lane, limit) or await catch.begin(lane, limit, left))
        while not catch.count and not any(pull.over for pull in pulls):  # as nobody waits any more where one is over
            if not await catch.change(min(end + _SLACK, *(pull.dead for pull in pulls))):
                for pull in pulls:
                    if time.monotonic() >= pull.dead:
                        await self._look_for(pull.lane)
                return
        for pull in pulls:
            # What has begun to come comes whole: its end is on the way.
            while pull.messages and not pull.over and await catch.change(time.monotonic() + _SILENT):
                pass
        for pull in pulls:
            await self._judge(pull)

    async def _stay(self, catch: Catch, lanes: Sequence[Lane], limit: int, end: float) -> None:
        """Leave a pull at each lane that was empty, for the next receive: the last one was a moment ago."""
        left = min(end - time.monotonic(), catch.longest)
        for lane in lanes:
            if left > 0 and lane in self._empty and catch.waiting(lane, limit) is None:
                await catch.begin(lane, limit, left)

    async def _judge(self, pull: Pull) -> None:
        """Look at what a pull ended with."""
        if pull.messages:
            self._empty.discard(pull.lane)
        else:
            self._empty.add(pull.lane)
        if pull.messages or pull.status not in (_CONFLICT, _NO_RESPONDERS):
            return
        if pull.status == _CONFLICT and "deleted" not in pull.words.lower():
            raise RefusedError(pull.status, 0, pull.words)
        if await self._look_for(pull.lane):
            raise AbsentError(pull.lane.subject)

    async def _look_for(self, lane: Lane) -> bool:
        """Whether a consumer that does not answer is there; if not it is made again, where that is allowed."""
        self._topology.forget(lane.queue)
        there = await self._topology.is_there(lane)
        if not there:
            _logger.warning(
                "%s: the consumer %s of stream %s is missing", self._server.address.where, lane.consumer, lane.stream
            )
            await asyncio.sleep(_MOMENT)
        return there

    async def _deliver(self, raws: Sequence[Raw]) -> list[Delivery]:
        try:
            counts = await self._unspent.count(raws) if any(raw.delivered > 1 for raw in raws) else {}
            made: list[Delivery] = []
            now, today = time.monotonic(), datetime.now(UTC)
            latest = self._server.clock.latest() + _TOLERANCE
            for raw in raws:
                unwrapped = raw.unwrapped
                if unwrapped.due is not None and micros_at(unwrapped.due) > latest:
                    await self._parking.put_off(raw)
                    continue
                entry = counts.get(raw.seq)
                attempt = raw.delivered + unwrapped.attempts - (0 if entry is None else int(entry.value))
                until = raw.arrived + self._held
                receipt = Receipt(raw, until, 0 if entry is None else entry.version)
                leased_until = today + timedelta(seconds=until - now)
                made.append(Delivery(unwrapped.message, max(attempt, 1), receipt, leased_until))
            for each in made:
                if each.attempt == 1 and each.message.unique is not None:
                    await self._keys.free(each.message, "start")
        except BaseException:
            for raw in raws:
                self._unspent.stray(raw)
            raise
        return made

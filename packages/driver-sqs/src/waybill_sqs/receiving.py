"""Leasing what is there, and waiting for it: short polls look, long polls wait, and no timer does either."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from waybill.driver import Delivery

from .arrivals import Arrivals
from .aws import Aws
from .failures import closed
from .names import LATER, Place
from .places import Places
from .polls import Order, Source

_AT_ONCE: Final = 8
"""Polls that look at the same time."""
_SHORT: Final = 0.2
"""Seconds between looks in the last second of a wait, which no long poll can end in."""
_LONGER: Final = 0.2
"""Seconds by which a long poll may outlast its receive."""
_OVER: Final = 0.02
_LOOK_AGAIN: Final = 30.0


class Receiving:
    """The receivers of one open driver."""

    def __init__(self, aws: Aws, places: Places, arrivals: Arrivals) -> None:
        self._aws, self._places, self._arrivals = aws, places, arrivals
        self._sources: dict[str, Source] = {}
        self._orders: set[Order] = set()
        self._absent: dict[Place, float] = {}
        """Companions that are not there, and until when that is taken for true."""

    async def receive(self, queues: Sequence[str], limit: int, wait: timedelta) -> list[Delivery]:
        """Lease up to *limit*, earlier queues first, and wait up to *wait* for the first."""
        if limit <= 0:
            return []
        end = asyncio.get_running_loop().time() + wait.total_seconds()
        found_sources = await asyncio.gather(*map(self._of, dict.fromkeys(queues)))
        sources = [source for some in found_sources for source in some]
        order = Order(limit)
        self._orders.add(order)
        try:
            await self._look_and_wait(order, sources, end)
            found, order.found = order.found, []
            if self._aws.options.fifo:  # polls that look at the same time bring the next ones in any order
                found.sort(key=lambda each: (list(queues).index(each.message.queue), each.receipt.place))
            return found
        finally:
            order.closed = True
            self._orders.discard(order)
            for source in sources:
                if order in source.orders:
                    source.orders.remove(order)
            self._give_back(order.found)

    async def end(self, patience: float) -> None:
        """Let every receive end, and wait for the polls, whose messages go back."""
        for order in self._orders:
            order.fail(closed())
            order.closed = True
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        # What a poll brings is given back by another task.
        while (tasks := [task for each in self._sources.values() for task in each.tasks]) and loop.time() < end:
            await asyncio.wait(tasks, timeout=end - loop.time())

    async def _look_and_wait(self, order: Order, sources: Sequence[Source], end: float) -> None:
        loop = asyncio.get_running_loop()
        if len(sources) > 1 or end <= loop.time():
            await self._look(order, sources)
        while not order.found:
            left = end - loop.time()
            if left <= _OVER:
                return
            if left >= 1 - _LONGER:
                await self._wait(order, sources, left)
            else:
                await asyncio.sleep(min(left, _SHORT))
                await self._look(order, sources)
        source = self._sources[order.found[0].receipt.url]
        if len(order.found) >= source.most:  # it came in plenty
            await self._take(order, source)

    async def _look(self, order: Order, sources: Sequence[Source]) -> None:
        """See at once what is there, in order; first what is to come from a companion queue."""
        for source in sorted(sources, key=lambda each: each.place.part != LATER):
            await self._take(order, source)

    async def _take(self, order: Order, source: Source) -> None:
        """Ask a queue for all there is room for: twice as often each time, as long as every answer is full."""
        at_once = 1
        while order.room > 0:
            size = min(order.room, source.most)
            polls = min(order.room // size, at_once, _AT_ONCE)
            counts = await self._ended(order, [source.poll(size, 0, order) for _ in range(polls)])
            if sum(counts) < polls * size:
                return
            at_once *= 2

    async def _wait(self, order: Order, sources: Sequence[Source], left: float) -> None:
        """Have a long poll under way in each queue for each who waits there, until something happens."""
        seconds = int(min(left + _LONGER, self._aws.options.poll.total_seconds()))
        for source in sources:
            if order not in source.orders:
                source.orders.append(order)
            wanted = 1 if source.place.part == LATER else len(source.orders)
            while source.waiting < wanted:
                source.poll(order.room, seconds)
        order.stirred.clear()
        if not order.found and not order.error:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await order.stirred.wait()
        _raise(order)

    async def _ended(self, order: Order, polls: Sequence[asyncio.Task[int]]) -> list[int]:
        """How many came with polls that are this order's own; a cancelled receive leaves them to themselves."""
        await asyncio.wait(polls)
        _raise(order)
        return [each.result() for each in polls]

    async def _of(self, queue: str) -> list[Source]:
        places = list(self._places.main(queue))
        if self._aws.options.fifo:
            places.append(Place(queue, LATER))
        return [each for each in await asyncio.gather(*map(self._source, places)) if each is not None]

    async def _source(self, place: Place) -> Source | None:
        url = await (self._companion(place) if place.part == LATER else self._places.url(place))
        if url is None:
            return None
        if url not in self._sources:
            self._sources[url] = Source(self._aws, self._arrivals, place, url, self._places.forget)
        return self._sources[url]

    async def _companion(self, place: Place) -> str | None:
        """Where what is delayed waits; where nothing may be made, it may be missing, and is looked for now and then."""
        now = asyncio.get_running_loop().time()
        if self._aws.options.create == "auto":
            return await self._places.url(place)
        if now < self._absent.get(place, 0):
            return None
        found = await self._places.find(place)
        if found is None:
            self._absent[place] = now + _LOOK_AGAIN
        return found

    def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        """What a receive has and cannot return any more."""
        for each in deliveries:
            self._sources[each.receipt.url].give_back([each])


def _raise(order: Order) -> None:
    if order.error is not None and not order.found:
        raise order.error

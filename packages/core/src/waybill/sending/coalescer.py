"""Concurrent calls of one verb, gathered into its batch verb without waiting for a timer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from ..errors import WaybillError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def one_each(outcomes: Sequence[Outcome], items: Sequence[object]) -> Sequence[Outcome]:
    """A batch verb's outcomes, if there is one for each item.

    Raises:
        RuntimeError: nobody knows whose they are.
    """
    if len(outcomes) != len(items):
        raise RuntimeError(f"the driver told {len(outcomes)} outcomes of a batch of {len(items)}")
    return outcomes


class Coalescer(Generic[Item, Outcome]):
    """Calls go out at once while a flight is free; what comes meanwhile goes together in the next one.

    Args:
        one: the verb for a single item.
        many: its batch verb, where the driver has one: an outcome or a WaybillError per item, in order.
        size: the most items of a flight.
        flights: how many may be under way.
        gathers: even the first call waits for those that follow in the same turn of the loop: many jobs end in one.
    """

    def __init__(
        self,
        one: Callable[[Item], Awaitable[Outcome]],
        many: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome | WaybillError]]] | None,
        size: int,
        flights: int = 1,
        *,
        gathers: bool = False,
    ) -> None:
        self._one, self._many, self._size, self._gathers = one, many, size, gathers and many is not None
        self._flights = self._free = flights
        self._boarding = 0
        """Flights that have not taken in their items yet."""
        self._landed: asyncio.Future[None] | None = None  # for drain() to wait for
        self._waiting: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: Item) -> Outcome:
        """The verb's outcome for *item*, or its error."""
        if not self._gathers and (self._many is None or (self._free and not self._waiting)):
            self._free -= 1
            try:
                return await self._one(item)
            finally:
                self._land()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        if self._gathers and self._free and not self._waiting:
            loop.call_soon(self._depart)
        self._waiting.append((item, future))
        return await future

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._free < self._flights or self._waiting:
            self._landed = asyncio.get_running_loop().create_future()
            await self._landed

    def _land(self) -> None:
        self._free += 1
        if self._landed is not None and not self._landed.done():
            self._landed.set_result(None)
        self._depart()

    def _depart(self) -> None:
        while self._free and len(self._waiting) > self._boarding * self._size:
            self._free -= 1
            self._boarding += 1
            task = asyncio.get_running_loop().create_task(self._fly())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fly(self) -> None:
        self._boarding -= 1
        batch: list[tuple[Item, asyncio.Future[Outcome]]] = []
        while self._waiting and len(batch) < self._size:
            item, future = self._waiting.popleft()
            if not future.done():  # its caller was cancelled before anything was sent
                batch.append((item, future))
        try:
            if batch:
                await self._carry(batch)
        finally:
            self._land()

    async def _carry(self, batch: list[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        assert self._many is not None
        try:
            outcomes = one_each(await self._many([item for item, _ in batch]), batch)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, WaybillError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

"""Many entries in few requests: up to ten and up to 1 MiB in each, several requests at once, a result for each entry.

Nothing waits for a timer: what is put in one turn of the event loop leaves together at the end of it, as long as one of
the slots is free; what comes while none is waits for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .failures import UnansweredError, closed, is_throttled

COUNT: Final = 10
BYTES: Final = 1_048_576
TRIES: Final = 4
PAUSE: Final = 0.1  # seconds before the second try, doubled for each further one


@dataclass(eq=False, slots=True)
class Entry:
    """One part of a batch request, and what became of it."""

    fields: dict[str, Any] = field(repr=False)
    size: int = 0
    """In bytes, as SQS counts them."""
    line: str | None = None
    """Entries of one line stay in the order in which they were put."""
    outcome: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """The entry's part of the answer, or its error."""
    sent: bool = False
    """Whether it may have left."""

    def end(self, outcome: Any) -> None:
        """Tell what became of it, an error included, whether or not anybody still waits."""
        if self.outcome.done():
            return
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
            self.outcome.exception()
        else:
            self.outcome.set_result(outcome)


Request = Callable[[str, Sequence[Entry]], Awaitable[Sequence[Any]]]


class Batches:
    """The requests of one verb.

    Args:
        request: sends a batch to a queue; one outcome for each entry, in order.
        timeout: seconds until an entry is given up.
        slots: how many requests may be under way at once.
    """

    def __init__(self, request: Request, timeout: float, slots: int = 8) -> None:
        self._request, self._timeout = request, timeout
        self._free = slots
        self._waiting: dict[str, deque[Entry]] = {}
        self._busy: set[tuple[str, str]] = set()
        """Lines with an entry under way."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def __call__(self, url: str, entries: Sequence[Entry]) -> list[Any]:
        """Send entries to one queue; what became of each, errors included. A cancelled caller ends none of them."""
        self.put(url, entries)
        return await self.ended(entries)

    def put(self, url: str, entries: Iterable[Entry]) -> None:
        """Let entries leave with the next batch."""
        self._waiting.setdefault(url, deque()).extend(entries)
        self._schedule()

    async def ended(self, entries: Sequence[Entry]) -> list[Any]:
        """What became of entries, in order; those whose time is over are not sent any more."""
        timer = asyncio.get_running_loop().call_later(self._timeout, self._give_up, entries)
        try:
            for each in entries:
                if not each.outcome.done():
                    with contextlib.suppress(Exception):
                        await asyncio.shield(each.outcome)
        finally:
            timer.cancel()
        return [each.outcome.exception() or each.outcome.result() for each in entries]

    def _give_up(self, entries: Sequence[Entry]) -> None:
        for each in entries:
            each.end(UnansweredError(self._timeout, sent=each.sent))

    async def drain(self, patience: float) -> None:
        """Wait for what is under way, but not for ever; what has not left then never does."""
        end = asyncio.get_running_loop().time() + patience
        while (self._tasks or self._waiting) and (left := end - asyncio.get_running_loop().time()) > 0:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=left)
            else:
                await asyncio.sleep(0)
        for waiting in self._waiting.values():
            for each in waiting:
                each.end(closed())
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _schedule(self) -> None:
        if not self._scheduled and self._waiting and self._free:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        self._scheduled = False
        for url in list(self._waiting):
            while self._free and (batch := self._pack(url)):
                self._free -= 1
                task = asyncio.get_running_loop().create_task(self._fly(url, batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if not self._waiting[url]:
                del self._waiting[url]

    def _pack(self, url: str) -> list[Entry]:
        """Take as many as fit into one request, in order, leaving those whose line has one under way."""
        batch: list[Entry] = []
        size, left = 0, deque[Entry]()
        held = {line for place, line in self._busy if place == url}
        waiting = self._waiting[url]
        while waiting and len(batch) < COUNT:
            entry = waiting.popleft()
            if entry.outcome.done():
                continue
            if entry.line in held:
                left.append(entry)
            elif batch and size + entry.size > BYTES:
                waiting.appendleft(entry)
                break
            else:
                batch.append(entry)
                size += entry.size
        left.extend(waiting)
        self._waiting[url] = left
        self._busy.update((url, each.line) for each in batch if each.line is not None)
        return batch

    async def _fly(self, url: str, batch: Sequence[Entry]) -> None:
        try:
            await self._carry(url, batch)
        finally:
            self._free += 1
            self._busy.difference_update((url, each.line) for each in batch if each.line is not None)
            for each in batch:
                each.end(closed())  # unless it has ended otherwise
            self._schedule()

    async def _carry(self, url: str, batch: Sequence[Entry]) -> None:
        """Send a batch, and again what was only put off: SQS says of each entry whose fault it was."""
        for attempt in range(TRIES):
            for each in batch:
                each.sent = True
            try:
                outcomes = await self._request(url, batch)
            except Exception as error:
                outcomes = [error] * len(batch)
            again: list[Entry] = []
            for each, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Exception) and is_throttled(outcome) and attempt + 1 < TRIES:
                    each.sent = False
                    again.append(each)
                else:
                    each.end(outcome)
            batch = [each for each in again if not each.outcome.done()]
            if not batch:
                return
            await asyncio.sleep(PAUSE * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - not for secrets

"""A worker's loop over the schedules of a book: sleep until the next is due, fire it, look now and then what is new."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from ..errors import WaybillError
from ..retry import soon
from ..timing import Clock
from .book import Book
from .firing import Firing, Send
from .presence import Presence
from .record import Record

_logger: Final = logging.getLogger("waybill.schedules")
LOOK: Final = timedelta(seconds=1)
"""How soon what another process has changed is seen."""
_SHARE: Final = 20
"""Reading all schedules anew takes at most one part in so many of the time."""
_AT_A_TIME: Final = 32
_PARTING: Final = 5.0  # seconds that a stopping worker gives to what it is firing
_LONGEST_PAUSE: Final = timedelta(seconds=5)


class Ticker:
    """Fires the schedules of a book, beside any number of others that do the same.

    Args:
        book: where they are.
        clock: says what is due.
        send: sends an instant's job.
        knows: whether this worker declares a job by that name; it fires no other's declared schedules.
        patience: how long a claim holds, see `Firing`.
    """

    def __init__(self, book: Book, clock: Clock, send: Send, knows: Callable[[str], bool], patience: timedelta) -> None:
        name = uuid4().hex
        self._book, self._clock, self._knows = book, clock, knows
        self._presence = Presence(book, name, clock)
        self._firing = Firing(book, name, clock, send, patience)
        self._due: list[tuple[datetime, int, str]] = []
        self._order = itertools.count()
        self._newest: dict[str, int] = {}
        """Which entry of `_due` counts, by schedule: a later look may have put another one there."""
        self._turns: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._mark: bytes | None = b""
        self._next_look = self._next_reading = clock.now()
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._failures = 0

    # -- what a worker calls ---------------------------------------------------------------------------

    async def start(self) -> None:
        """See who lives and what there is, and give a first sign of life.

        Raises:
            BrokerUnavailableError: the store does not answer.
        """
        await self._presence.begin()
        await self._look()
        if self._newest:
            await self._presence.renew()

    def wake(self) -> None:
        """Something has changed: look at once. From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._look_now)

    async def run(self) -> None:
        """Fire what falls due, until cancelled."""
        try:
            while True:
                await self._round()
                await self._sleep()
        finally:
            await self._part()

    async def fire_due(self) -> int:
        """Fire all that is due now; how many jobs were sent."""
        before = self._firing.fired
        self._next_look = self._next_reading = self._clock.now()
        await self._round()
        while self._turns:
            await asyncio.wait(self._turns.values())
            await self._round()
        return self._firing.fired - before

    async def stop(self) -> None:
        """Say that this worker lives no more."""
        try:
            await self._presence.end()
        except WaybillError as error:
            _logger.debug("the sign of life runs out by itself: %s", error)

    # -- rounds ----------------------------------------------------------------------------------------

    async def _round(self) -> None:
        try:
            looked = await self._look()
            if self._newest or self._turns:
                await self._presence.renew()
        except Exception as error:
            self._failed(error)
            return
        if self._failures and looked:
            _logger.info("the schedules can be read again")
            self._failures = 0
        if self._failures:
            return
        now = self._clock.now()
        while self._due and self._due[0][0] <= now:
            _, number, schedule_id = heapq.heappop(self._due)
            if self._newest.get(schedule_id) == number:
                del self._newest[schedule_id]
                self._begin_turn(schedule_id)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        pause = soon(self._failures, _LONGEST_PAUSE)
        self._next_look = self._clock.now() + pause
        known = isinstance(error, WaybillError)
        _logger.warning(
            "the schedules cannot be read, which is tried again in %.1f s: %s",
            pause.total_seconds(), error, exc_info=None if known else error,
        )  # fmt: skip

    async def _sleep(self) -> None:
        until = self._next_look
        if self._due and not self._failures:
            until = min(until, self._due[0][0])
        timer = self._clock.call_later(max(until - self._clock.now(), timedelta()), self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()
        self._woken.clear()

    def _look_now(self) -> None:
        self._next_look = self._next_reading = self._clock.now()
        self._woken.set()

    async def _look(self) -> bool:
        """Read all schedules again if it is time and the mark tells that some are new; whether it was time."""
        now = self._clock.now()
        if now < self._next_look:
            return False
        mark = await self._book.mark()
        self._next_look = now + LOOK
        if mark == self._mark or now < self._next_reading:
            return True
        started = self._clock.monotonic()
        async for record in self._book.records():
            self._note(record)
        self._mark = mark
        self._next_reading = now + timedelta(seconds=(self._clock.monotonic() - started) * _SHARE)
        return True

    def _note(self, record: Record) -> None:
        if record.next is None or (record.declared and not self._knows(record.content.job_name)):
            self._newest.pop(record.id, None)
        elif record.id not in self._turns:
            self._put(record.id, record.next)

    def _put(self, schedule_id: str, due: datetime) -> None:
        number = self._newest[schedule_id] = next(self._order)
        heapq.heappush(self._due, (due, number, schedule_id))
        if len(self._due) > 64 + 2 * len(self._newest):  # entries that no longer count
            self._due = [each for each in self._due if self._newest.get(each[2]) == each[1]]
            heapq.heapify(self._due)

    # -- turns -----------------------------------------------------------------------------------------

    def _begin_turn(self, schedule_id: str) -> None:
        task = self._loop.create_task(self._turn(schedule_id), name="waybill-schedule")
        self._turns[schedule_id] = task
        task.add_done_callback(lambda _: self._end_turn(schedule_id))

    def _end_turn(self, schedule_id: str) -> None:
        self._turns.pop(schedule_id, None)
        self._woken.set()

    async def _turn(self, schedule_id: str) -> None:
        async with self._slots:
            try:
                due = await self._firing.turn(schedule_id, self._presence.since)
            except Exception as error:  # the store went away; or a zone is not known here, say: the others go on
                due = self._clock.now() + _LONGEST_PAUSE
                known = isinstance(error, WaybillError)
                _logger.warning(
                    "schedule %r has to wait for %s: %s", schedule_id, _LONGEST_PAUSE, error,
                    exc_info=None if known else error,
                )  # fmt: skip
        if due is not None:
            self._put(schedule_id, due)

    async def _part(self) -> None:
        """Let what is being fired come to its end; what does not, another worker takes over."""
        if self._turns:
            await asyncio.wait(self._turns.values(), timeout=_PARTING)
        left = list(self._turns.values())
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)

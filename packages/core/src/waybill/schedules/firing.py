"""Firing one instant of one schedule, once, whoever else tries and whoever dies meanwhile.

A worker claims the instant (a compare-and-set on the record), sends the job under the instant's id, and writes the
next instant into the record. If it dies in between, another claims it when the claim has run out, and sends the same
id again, which the broker knows while the job is stored. That the job is stored until the record has gone on is seen
to at the other end: whoever runs it takes the record past its instant before the job is acked (`finish`), and notes
that it was run, so that even a worker that wakes in the middle of firing hours later makes no second run.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from ..errors import DuplicateJobError, WaybillError
from ..retry import soon
from ..timing import Clock
from .book import Book
from .record import Record

_logger: Final = logging.getLogger("waybill.schedules")
_LONGEST_PAUSE: Final = timedelta(seconds=5)

Send = Callable[[Record, datetime], Awaitable[object]]
"""Sends the job of an instant, or raises an EnqueueError."""


class Firing:
    """One worker's part in firing the schedules of a book.

    Args:
        book: where they are.
        worker: who claims.
        clock: says what is due.
        send: sends an instant's job.
        patience: how long a claim holds. A broker that forgets ids makes a second job of an instant whose sending
            takes longer.
    """

    def __init__(self, book: Book, worker: str, clock: Clock, send: Send, patience: timedelta) -> None:
        self._book, self._worker, self._clock = book, worker, clock
        self._send, self._patience = send, patience
        self._failures: dict[str, int] = {}
        self.fired = 0
        """Instants that this worker has sent."""

    async def turn(self, schedule_id: str, since: datetime) -> datetime | None:
        """Fire the next instant if it is due; when to come back, or None for never.

        Args:
            schedule_id: whose.
            since: from when on a worker has lived.
        """
        found = await self._book.get(schedule_id)
        if found is None:
            return None
        stored, version = found
        now = self._clock.now()
        record = stored.caught_up(since)
        if record.next is None or record.next > now:
            if record is not stored and not await self._book.put(record, version):
                return now
            return record.next
        if record.held(self._worker, now):
            assert record.claim is not None
            return record.claim.until
        claimed = record.claimed(self._worker, now + self._patience)
        if not await self._book.put(claimed, version):
            return now  # another was first; it may be held now, or have gone on
        return await self._fire(claimed, record.next)

    async def _fire(self, record: Record, instant: datetime) -> datetime | None:
        fired = True
        try:
            await self._send(record, instant)
        except DuplicateJobError as error:
            _logger.info("schedule %r: nothing is sent for %s: %s", record.id, instant.isoformat(), error)
            fired = False
        except Exception as error:
            return self._put_off(record, instant, error)
        self._failures.pop(record.id, None)
        self.fired += fired
        after = await pass_instant(self._book, record.id, instant, fired=fired)
        return None if after is None else after.next

    def _put_off(self, record: Record, instant: datetime, error: Exception) -> datetime:
        failures = self._failures[record.id] = self._failures.get(record.id, 0) + 1
        pause = soon(failures, _LONGEST_PAUSE)
        _logger.warning(
            "schedule %r: the job of %s could not be sent, and is tried again in %.1f s: %s",
            record.id, instant.isoformat(), pause.total_seconds(), error,
            exc_info=None if isinstance(error, WaybillError) else error,
        )  # fmt: skip
        return self._clock.now() + pause


async def pass_instant(book: Book, schedule_id: str, instant: datetime, *, fired: bool = True) -> Record | None:
    """Take a record past an instant whose job is in the broker, unless that has been done; the record then."""

    def past(record: Record | None) -> Record | None:
        if record is None or record.next != instant:  # done already, or the schedule was replaced meanwhile
            return record
        return record.advanced(fired=fired)

    return await book.change(schedule_id, past)


async def finish(book: Book, schedule_id: str, instant: datetime, job_id: str, *, ran: bool) -> None:
    """To be called before an instant's job is settled for good, so that nobody sends it again."""
    await pass_instant(book, schedule_id, instant)
    if ran:
        await book.note_run(job_id)

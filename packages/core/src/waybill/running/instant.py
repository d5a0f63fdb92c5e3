"""The running side's part in firing each instant of a schedule once."""

from __future__ import annotations

import logging
from datetime import UTC
from typing import TYPE_CHECKING, Final

from ..envelope import Envelope, Message
from ..errors import UnsupportedError
from ..schedules.book import Book
from ..schedules.firing import finish
from .fate import Dead, Done, Dropped, Fate

if TYPE_CHECKING:
    from ..sending.service import JobService

_logger: Final = logging.getLogger("waybill.schedules")


class Instant:
    """The instant of a schedule that a delivered job was fired for.

    Where the book cannot be asked, the job runs all the same: it was accepted, and only a worker that was paused
    while it fired could have sent it twice.
    """

    def __init__(self, service: JobService, message: Message, envelope: Envelope) -> None:
        self._service, self._message, self._envelope = service, message, envelope
        self._book: Book | None = None

    async def has_run(self) -> bool:
        """Whether this job has been run before under the same id: it is a second copy."""
        try:
            self._book = await self._service.books.of(self._service.rules.local_name(self._message.queue))
            known = await self._book.has_run(self._message.id)
        except UnsupportedError:
            return False
        except Exception as error:
            _logger.warning("whether job %r was run before cannot be found out: %s", self._message.id, error)
            return False
        if known:
            _logger.info("job %r was run before, and is not run again", self._message.id)
        return known

    async def end(self, fate: Fate) -> None:
        """Before a job is settled for good: nobody is to send it again."""
        schedule_id, instant = self._envelope.schedule_id, self._envelope.scheduled_for
        if self._book is None or schedule_id is None or instant is None or not isinstance(fate, (Done, Dropped, Dead)):
            return
        instant = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
        try:
            # A dead letter may be sent back by hand, and is then to be run.
            await finish(self._book, schedule_id, instant, self._message.id, ran=not isinstance(fate, Dead))
        except Exception as error:
            _logger.warning("that job %r was run cannot be noted: %s", self._message.id, error)

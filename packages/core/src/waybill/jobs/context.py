"""What a handler is told about the run it is part of."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..envelope import Session
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..result import EnqueueResult
    from ..sending.service import JobService

_logger: Final = logging.getLogger("waybill.job")
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Flag:
    """Something that happens at most once: true or false, and a plain handler can wait for it."""

    __slots__ = ("_event", "_set")

    def __init__(self) -> None:
        self._set = False
        self._event: threading.Event | None = None

    def __bool__(self) -> bool:
        return self._set

    is_set = __bool__

    def set(self) -> None:
        self._set = True
        if self._event is not None:
            self._event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block this thread until it is set, for at most *timeout* seconds; not for the event loop."""
        event = self._event = self._event or threading.Event()
        if self._set:  # perhaps before the event was there to be told
            event.set()
        return event.wait(timeout)

    def __repr__(self) -> str:
        return str(self._set)


class JobLogger:
    """A logger whose records carry the job: `ctx.log.info("sent", user_id="u1")`."""

    __slots__ = ("_bound",)

    def __init__(self, bound: Mapping[str, Any]) -> None:
        self._bound = bound

    def debug(self, message: str, /, *args: object, **fields: Any) -> None:
        self.log(logging.DEBUG, message, *args, **fields)

    def info(self, message: str, /, *args: object, **fields: Any) -> None:
        self.log(logging.INFO, message, *args, **fields)

    def warning(self, message: str, /, *args: object, **fields: Any) -> None:
        self.log(logging.WARNING, message, *args, **fields)

    def error(self, message: str, /, *args: object, **fields: Any) -> None:
        self.log(logging.ERROR, message, *args, **fields)

    def exception(self, message: str, /, *args: object, **fields: Any) -> None:
        self.log(logging.ERROR, message, *args, exc_info=True, **fields)

    def log(self, level: int, message: str, /, *args: object, exc_info: Any = None, **fields: Any) -> None:
        if _logger.isEnabledFor(level):
            # repr() escapes line breaks and control characters, so that a value cannot forge a record.
            told = "".join(f" {name}={value!r}" for name, value in fields.items())
            text = f"{message}{told.replace('%', '%%') if args else told}"
            extra = {name: value for name, value in fields.items() if name not in _TAKEN}
            extra |= {**self._bound, "fields": fields}
            _logger.log(level, text, *args, exc_info=exc_info, extra=extra, stacklevel=3)


_TAKEN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "fields"}


class JobContext:
    """One run of one job."""

    __slots__ = (
        "_log", "_loop", "attempt", "cancelled", "enqueued_at", "job_id", "job_name", "lease_lost",
        "max_attempts", "metadata", "parent_id", "queue", "schedule_id", "scheduled_for", "service", "services",
        "session", "shutting_down",
    )  # fmt: skip

    def __init__(
        self,
        *,
        service: JobService,
        job_id: str,
        job_name: str,
        queue: str,
        attempt: int,
        max_attempts: int,
        enqueued_at: datetime,
        metadata: Mapping[str, Any] | None,
        session: Session | None,
        parent_id: str | None,
        services: Any,
        shutting_down: Flag,
        schedule_id: str | None = None,
        scheduled_for: datetime | None = None,
    ) -> None:
        self.service = service
        self.job_id = job_id
        self.job_name = job_name
        self.queue = queue
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.enqueued_at = enqueued_at
        self.metadata = metadata or _NOTHING
        self.session = session
        self.parent_id = parent_id
        self.schedule_id = schedule_id
        self.scheduled_for = scheduled_for
        self.services = services
        self.shutting_down = shutting_down
        self.lease_lost = Flag()
        self.cancelled = Flag()
        self._log: JobLogger | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def log(self) -> JobLogger:
        """Logs to "waybill.job" with job_id, job_name, queue and attempt on each record."""
        if self._log is None:
            bound = {name: getattr(self, name) for name in ("job_id", "job_name", "queue", "attempt")}
            self._log = JobLogger(bound)
        return self._log

    async def enqueue(self, job: Any, payload: Any = None, **options: Any) -> EnqueueResult:
        """Send a follow-up that records this job as its parent; takes what `JobService.enqueue` takes."""
        return await self.service.enqueue(job, payload, parent_id=self.job_id, **options)

    @property
    def sync(self) -> SyncContext:
        """The same for plain handlers, which cannot await."""
        return SyncContext(self, self._loop)

    def __repr__(self) -> str:
        return f"JobContext({self.job_name} {self.job_id}, attempt {self.attempt} of {self.max_attempts})"


class SyncContext:
    """The blocking side of a JobContext."""

    def __init__(self, context: JobContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context, self._loop = context, loop

    def enqueue(self, job: Any, payload: Any = None, **options: Any) -> EnqueueResult:
        """Send a follow-up from a plain handler, through the worker's own connection."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            raise ConfigurationError("ctx.sync is for plain handlers; in an async one write: await ctx.enqueue(...)")
        sending = self._context.enqueue(job, payload, **options)
        return asyncio.run_coroutine_threadsafe(sending, self._loop).result()

"""What a handler is told about the run it is part of."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..envelope import Session
from ..errors import ConfigurationError
from ..resources import JobResources
from ..timing import Duration, parse_duration
from .once import Once

if TYPE_CHECKING:
    from ..result import EnqueueResult
    from ..sending.service import JobService

_logger: Final = logging.getLogger("waybill.job")
T = TypeVar("T")
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
        "max_attempts", "metadata", "parent_id", "queue", "resources", "schedule_id", "scheduled_for", "service",
        "services", "session", "shutting_down",
    )  # fmt: skip

    metadata: Mapping[str, Any]
    session: Session | None

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
        self.resources: JobResources | None = None
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

    def resource(self, kind: type[T]) -> T:
        """What the service's `services=` has of that type: the worker's, or one that is made for this job now.

        Raises:
            ConfigurationError: there is none.
        """
        if self.resources is not None:
            return self.resources.get(kind)
        return _found(self.services, kind)

    async def async_resource(self, kind: type[T]) -> T:
        """The same, for those that are made or entered by awaiting."""
        return self.resource(kind) if self.resources is None else await self.resources.get_async(kind)

    def once(self, key: str, *, ttl: Duration | None = None) -> Once:
        """A mark in the broker that *key* was begun: true for the first that asks, in this and every other job.

            if await ctx.once(f"charge:{payment}"):         # at most once, also if the handler fails after it
            async with ctx.once("charge:1") as first:       # taken back if the block raises

        Args:
            key: what is to be begun once.
            ttl: how long the mark is kept; for ever by default.

        Raises:
            UnsupportedError: the broker keeps no marks.
        """
        return Once(self, key, None if ttl is None else parse_duration(ttl, bare=False))

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
        return self._wait(lambda: self._context.enqueue(job, payload, **options), "ctx.enqueue(...)")

    def once(self, key: str, *, ttl: Duration | None = None) -> bool:
        """Whether this is the first that asks for *key*."""

        async def ask() -> bool:
            return await self._context.once(key, ttl=ttl)

        return self._wait(ask, "ctx.once(...)")

    def _wait(self, begin: Callable[[], Coroutine[Any, Any, T]], what: str) -> T:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            raise ConfigurationError(f"ctx.sync is for plain handlers; in an async one write: await {what}")
        return asyncio.run_coroutine_threadsafe(begin(), self._loop).result()


def _found(services: Any, kind: type[T]) -> T:
    """By type, in whatever the service was given: a container with `get`, or a mapping."""
    get: Any = getattr(services, "get", None)
    found: Any = get(kind) if callable(get) else None
    if found is None:
        name = getattr(kind, "__name__", kind)
        raise ConfigurationError(f"no resource {name} is known here: services= is {type(services).__name__}")
    made: T = found
    return made

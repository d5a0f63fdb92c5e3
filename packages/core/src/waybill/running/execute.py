"""One delivery in, one fate out: decode, find the job, parse, run, judge. It never raises."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from concurrent.futures import Executor as ThreadPool
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..envelope import Envelope, decode
from ..errors import (
    ConfigurationError,
    DeadReason,
    InvalidJobPayloadError,
    JobError,
    JobTimeoutError,
    RetryExhaustedError,
    UnknownJobError,
)
from ..hooks import JobExecution
from ..jobs.context import Flag, JobContext
from ..jobs.current import current_context
from ..jobs.handler import Handler
from ..jobs.late import LateError, resolve_late
from ..jobs.payload import PayloadError
from ..jobs.registry import Registered
from ..plugins import Hooks
from ..retry import Retry, exponential_backoff
from ..sending.inline import call_in_thread, job_resources
from .fate import Again, Dead, Done, Dropped, Fate, Lost, Released, describe, fate_of_failure
from .instant import Instant
from .run import Run

if TYPE_CHECKING:
    from ..sending.service import JobService

_logger: Final = logging.getLogger("waybill.worker")
_DEFAULT: Final = Retry()
_INEXACT_ALLOWANCE: Final = 2


class Executor:
    """Runs deliveries of one service.

    Args:
        service: whose jobs.
        hooks: the service's and the worker's.
        services: what handlers find as `ctx.services`.
        pool: where plain handlers run.
        threads: how many it has.
        shutting_down: what handlers see as `ctx.shutting_down`.
    """

    def __init__(  # noqa: PLR0917 - all that a run needs, made by one worker
        self, service: JobService, hooks: Hooks, services: Any, pool: ThreadPool, threads: int, shutting_down: Flag
    ) -> None:
        self._service, self._hooks, self._services = service, hooks, services
        self._pool, self._shutting_down = pool, shutting_down
        self._free_threads = asyncio.Semaphore(threads)
        self._clock, self._find = service.clock, service.registry.find
        self.started = 0
        """Handlers that were begun."""

    async def execute(self, run: Run, *, exact_attempts: bool) -> Fate:
        """Everything between receiving a delivery and settling it."""
        try:
            return await self._read_and_judge(run, exact_attempts=exact_attempts)
        except Exception as error:  # ours: the slot and the job must survive it
            _logger.exception("job %r (%r) could not be judged; it runs again", run.job_name, run.delivery.message.id)
            return Again(error, exponential_backoff(run.delivery.attempt))

    async def _read_and_judge(self, run: Run, *, exact_attempts: bool) -> Fate:
        try:
            envelope = decode(run.delivery.message.body)
        except ValueError as issue:
            error = JobError(f"the message cannot be read: {issue}")
            reason = DeadReason("undecodable", describe(error), run.delivery.attempt, self._clock.now())
            return await self._failed(Dead(error, reason), self._execution(run, None, None), None, announce=False)
        run.job_name = envelope.job_name
        if envelope.schedule_id is None:
            return await self._judge(run, envelope, exact_attempts=exact_attempts)
        instant = Instant(self._service, run.delivery.message, envelope)
        if await instant.has_run():
            return Done()
        fate = await self._judge(run, envelope, exact_attempts=exact_attempts)
        await instant.end(fate)
        return fate

    async def _judge(self, run: Run, envelope: Envelope, *, exact_attempts: bool) -> Fate:
        registered = self._find(envelope.job_name)
        if registered is None or registered.job.handler is None:  # a declaration, sent from here meanwhile
            return await self._unknown(run, envelope)
        return await self._execute(run, envelope, registered, exact_attempts=exact_attempts)

    async def _execute(self, run: Run, envelope: Envelope, registered: Registered, *, exact_attempts: bool) -> Fate:
        attempt = run.delivery.attempt
        job, retry = registered.job, registered.retry
        limit = envelope.max_attempts or retry.max_attempts
        limit = limit if limit > 0 else retry.max_attempts  # a foreign producer's
        if attempt > (limit if exact_attempts else limit + _INEXACT_ALLOWANCE):
            error = JobError(f"{job.name}: attempt {attempt} of {limit} began and its worker vanished")
            return await self._fail(run, envelope, registered, error, "lease-expired")
        try:
            raw = envelope.payload if envelope.late is None else await self._with_late_values(run, envelope, limit)
            payload = job.payload_schema.parse(raw)
        except (PayloadError, LateError) as issue:
            refused = InvalidJobPayloadError(job.name, [str(issue)])
            if job.options.on_invalid == "retry" and attempt < limit:
                again = Again(refused, retry.wait(attempt))
                return await self._failed(again, self._execution(run, envelope, None), None)
            return await self._fail(run, envelope, registered, refused, "invalid-payload")
        except Exception as error:  # a lookup's own: the database is away, say
            fate = fate_of_failure(
                error, retry, job_name=job.name, attempt=attempt, max_attempts=limit,
                now=self._clock.now(), to=self._dead_letters_of(registered),
            )  # fmt: skip
            return await self._failed(fate, self._execution(run, envelope, None), None)
        ctx = self._context(run, envelope, limit)
        assert job.handler is not None
        if job.handler.is_async:
            return await self._run(run, envelope, registered, payload, ctx)
        async with self._free_threads:  # the wait for a thread is no part of the run, nor of its timeout
            match run.interruption:
                case "stop":
                    return Released()
                case "lease-lost":
                    return Lost()
            return await self._run(run, envelope, registered, payload, ctx)

    async def _with_late_values(self, run: Run, envelope: Envelope, limit: int) -> bytes:
        ctx = self._context(run, envelope, limit)
        references, now = self._service.references, self._clock.now()
        return await resolve_late(envelope.payload, envelope.late or [], ctx, references, now)

    async def _run(self, run: Run, envelope: Envelope, registered: Registered, payload: Any, ctx: JobContext) -> Fate:
        """Run the handler, between its hooks, and judge how it ended."""
        job, attempt = registered.job, run.delivery.attempt
        execution = self._execution(run, envelope, payload)
        if self._hooks.wants("job_start"):
            await self._hooks.fire("job_start", job=execution, ctx=ctx)
        failure, result = await self._call(run, registered, payload, ctx, execution)
        if failure is None:
            if self._hooks.wants("job_complete"):
                await self._hooks.fire("job_complete", job=execution, ctx=ctx, result=result)
            return Done()
        if run.interruption == "stop":
            return Released()
        if run.interruption == "lease-lost":
            _logger.warning("job %r (%s): its lease was lost; another worker may run it", job.name, ctx.job_id)
            return Lost()
        fate = fate_of_failure(
            failure, registered.retry, job_name=job.name, attempt=attempt, max_attempts=ctx.max_attempts,
            now=self._clock.now(), to=self._dead_letters_of(registered),
        )  # fmt: skip
        return await self._failed(fate, execution, ctx)

    async def _call(
        self, run: Run, registered: Registered, payload: Any, ctx: JobContext, execution: JobExecution
    ) -> tuple[BaseException | None, Any]:
        """Run the handler; its error or its value."""
        job = registered.job
        handler = job.handler
        assert handler is not None
        timeout = job.options.timeout
        self.started += 1
        current_context.set(ctx)
        run.begin(ctx, is_async=handler.is_async)
        timer = None if timeout is None else self._clock.call_later(timeout, lambda: self._time_out(run))
        failure: BaseException | None = None
        result = None
        try:
            if self._hooks.wants("around_job"):
                async with self._hooks.around(job=execution, ctx=ctx):
                    result = await self._run_handler(run, handler, payload, ctx)
            else:
                result = await self._run_handler(run, handler, payload, ctx)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            failure = error
        finally:
            run.end()
            if timer is not None:
                timer.cancel()
        if isinstance(failure, asyncio.CancelledError):
            _take_cancellation(run)
        if timeout is not None and run.interruption == "timeout":
            late = JobTimeoutError(job.name, timeout)
            late.__cause__ = failure
            return late, None
        return failure, result

    async def _run_handler(self, run: Run, handler: Handler, payload: Any, ctx: JobContext) -> Any:
        async with job_resources(ctx):
            if handler.is_async:
                return await handler.call(payload, ctx)
            return await call_in_thread(handler, payload, ctx, self._pool, run.in_thread)

    def _time_out(self, run: Run) -> None:
        run.interrupt("timeout")
        frame = None if run.thread is None else sys._current_frames().get(run.thread)
        if frame is not None and run.in_handler:
            _logger.warning(
                "job %r (%s) runs past its timeout in a thread, which cannot be stopped; it keeps its slot and lease. "
                "It is at:\n%s",
                run.job_name,
                run.delivery.message.id,
                "".join(traceback.format_stack(frame)),
            )

    # -- what is told of it ----------------------------------------------------------------------------

    def _context(self, run: Run, envelope: Envelope, limit: int) -> JobContext:
        message = run.delivery.message
        return JobContext(
            service=self._service,
            job_id=message.id,
            job_name=envelope.job_name,
            queue=self._service.rules.local_name(message.queue),
            attempt=run.delivery.attempt,
            max_attempts=limit,
            enqueued_at=_aware(envelope.enqueued_at) or self._clock.now(),
            metadata=envelope.metadata,
            session=envelope.session,
            parent_id=envelope.parent_id,
            schedule_id=envelope.schedule_id,
            scheduled_for=_aware(envelope.scheduled_for),
            services=self._services,
            shutting_down=self._shutting_down,
        )

    def _execution(self, run: Run, envelope: Envelope | None, payload: Any) -> JobExecution:
        message = run.delivery.message
        return JobExecution(
            message.id,
            None if envelope is None else envelope.job_name,
            self._service.rules.local_name(message.queue),
            payload,
            run.delivery.attempt,
            None if envelope is None else _aware(envelope.enqueued_at),
            {} if envelope is None else envelope.metadata or {},
        )

    # -- failures --------------------------------------------------------------------------------------

    async def _unknown(self, run: Run, envelope: Envelope) -> Fate:
        """A newer version may be rolling out: it waits, and dies only after the default number of attempts."""
        attempt = run.delivery.attempt
        error = UnknownJobError(envelope.job_name)
        execution = self._execution(run, envelope, _plain(envelope.payload))
        if attempt < _DEFAULT.max_attempts:
            return await self._failed(Again(error, _DEFAULT.wait(attempt)), execution, None)
        reason = DeadReason("unknown-job", describe(error), attempt, self._clock.now())
        return await self._failed(Dead(error, reason), execution, None)

    async def _fail(self, run: Run, envelope: Envelope, registered: Registered, error: Exception, code: Any) -> Fate:
        """Given up without a run."""
        execution = self._execution(run, envelope, _plain(envelope.payload))
        fate: Fate = Dropped(error)
        # What never ran is kept whatever the job says of failed runs: the fault is the sender's, or the deployment's.
        if registered.retry.dead or code == "invalid-payload":
            reason = DeadReason(code, describe(error), run.delivery.attempt, self._clock.now())
            fate = Dead(error, reason, self._dead_letters_of(registered))
        return await self._failed(fate, execution, None)

    def _dead_letters_of(self, registered: Registered) -> str | None:
        queue = registered.job.options.dead_letter_queue
        return None if queue is None else self._service.rules.address(queue)

    async def _failed(
        self, fate: Fate, execution: JobExecution, ctx: JobContext | None, *, announce: bool = True
    ) -> Fate:
        """Log a failure and tell the hooks."""
        retry_in: timedelta | None = None
        match fate:
            case Again(error, after):
                retry_in = after
                _log(
                    logging.WARNING,
                    execution,
                    error,
                    f"failed and runs again in {after.total_seconds():.3g} s",
                )
            case Dead(error, reason):
                if isinstance(error, RetryExhaustedError):
                    error = error.__cause__ or error
                _log(logging.ERROR, execution, error, f"is given up ({reason.code}) and kept as a dead letter")
            case Dropped(error):
                _log(logging.ERROR, execution, error, "failed and is dropped, as it asked not to be kept")
            case _:
                raise ConfigurationError(f"{fate!r} is no failure")
        if announce and self._hooks.wants("job_failed"):
            await self._hooks.fire("job_failed", job=execution, ctx=ctx, error=error, retry_in=retry_in)
        if isinstance(fate, Dead) and self._hooks.wants("job_dead_letter"):
            await self._hooks.fire("job_dead_letter", job=execution, ctx=ctx, error=fate.error)
        return fate


def _take_cancellation(run: Run) -> None:
    """This task goes on to settle.

    Cancelled from outside by no interruption of ours, the whole loop is ending; a handler that raises CancelledError
    by itself has just failed.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        run.interruption = run.interruption or "stop"
        while task.uncancel():
            pass


def _log(level: int, job: JobExecution, error: BaseException, what: str) -> None:
    # %r: names and ids may come from another producer, and must not break the line.
    trace = error if error.__traceback__ is not None else None
    _logger.log(
        level,
        "job %r (%r, attempt %d) %s: %s",
        job.job_name,
        job.job_id,
        job.attempt,
        what,
        _one_line(error),
        exc_info=trace,
        extra={"job_id": job.job_id, "job_name": job.job_name, "queue": job.queue, "attempt": job.attempt},
    )


def _one_line(error: BaseException) -> str:
    return (
        describe(error).encode("unicode_escape").decode("ascii")
        if not describe(error).isprintable()
        else describe(error)
    )


def _plain(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None


def _aware(moment: datetime | None) -> datetime | None:
    """A foreign producer may leave the offset out; ours never do."""
    if moment is not None and moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment

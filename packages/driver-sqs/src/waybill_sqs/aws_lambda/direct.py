"""A job that an event names: run here and now, and what goes wrong is the invocation's error."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from msgspec import Raw

from waybill.driver import Delivery, Message
from waybill.envelope import Envelope, encode
from waybill.errors import JobError, RetryExhaustedError, UnknownJobError, WaybillError
from waybill.jobs.context import Flag
from waybill.jobs.registry import Registered
from waybill.running.fate import Again, Dead, Done, Dropped, Fate, describe
from waybill.running.prepare import Prepared
from waybill.running.run import Run
from waybill.sending.connection import Connection
from waybill.sending.ids import new_job_id

from .batch import Spawn
from .deadline import Deadline
from .event import Direct
from .settlement import keep_dead

_logger: Final = logging.getLogger("waybill.lambda")


async def run_direct(
    direct: Direct, ready: Prepared, connection: Connection, deadline: Deadline, spawn: Spawn
) -> dict[str, Any]:
    """Run it; `{"success": True}`, or False for a job that wants its failures dropped.

    Raises:
        UnknownJobError, InvalidJobPayloadError, JobError (the time was over), whatever the handler raises: Lambda sees
            the failure and, where its caller does not wait for an answer, runs the event again.
    """
    registered = ready.service.registry.find(direct.job_name)
    if registered is None or registered.job.handler is None:
        raise UnknownJobError(direct.job_name)
    run = Run(_delivery(direct, ready, registered))
    fate = await _executed(run, ready, deadline, spawn)
    match fate:
        case Done():
            return {"success": True}
        case Dropped(error=error):  # another invocation would be the second run of a job that wants one
            return {"success": False, "error": describe(error)}
        case Again(error=error):
            raise _raisable(error)
        case Dead(error=error, reason=reason, to=to):
            try:
                await keep_dead(connection, run.delivery.message, reason, to)
            except WaybillError as refusal:
                _logger.error("job %r is in no dead letters: %s", direct.job_name, refusal)  # noqa: TRY400 - ours, no trace
            raise _raisable(error)
    raise JobError(f"{direct.job_name}: the function's time was over before the job had ended")


def _delivery(direct: Direct, ready: Prepared, registered: Registered) -> Delivery:
    job_id = direct.event_id or f"eb-{new_job_id()}"
    body = encode(
        Envelope(
            job_name=direct.job_name,
            job_id=job_id,
            queue=registered.queue,
            payload=Raw(direct.payload),
            enqueued_at=ready.service.clock.now(),
        )
    )
    return Delivery(Message(job_id, ready.service.rules.address(registered.queue), body), direct.attempt, None)


async def _executed(run: Run, ready: Prepared, deadline: Deadline, spawn: Spawn) -> Fate | None:
    """Its fate; None where there is no time for it, or it heeds no cancellation."""
    if deadline.is_over(deadline.stop):
        return None
    shutting_down = Flag()
    running = spawn(ready.executor(shutting_down).execute(run, exact_attempts=False))
    try:
        if not (await asyncio.wait([running], timeout=deadline.until(deadline.stop)))[0]:
            shutting_down.set()
            await asyncio.wait([running], timeout=deadline.until(deadline.interrupt))
            run.interrupt("stop")
            await asyncio.wait([running], timeout=deadline.until(deadline.abandon))
    except asyncio.CancelledError:
        running.cancel()
        raise
    return running.result() if running.done() else None


def _raisable(error: BaseException) -> Exception:
    """The error of the job itself; a SystemExit would end the function's process."""
    if isinstance(error, RetryExhaustedError):
        error = error.__cause__ or error
    if isinstance(error, Exception):
        return error
    wrapped = JobError(f"the handler raised {describe(error)}")
    wrapped.__cause__ = error
    return wrapped

"""Sending on a schedule: a single run goes as a delayed job, a recurrence is written down for the workers to fire."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..envelope import Message, decode
from ..errors import (
    DelayNotSupportedError,
    EnqueueError,
    EnqueueValueError,
    InvalidScheduleError,
    UnsupportedError,
    as_enqueue_error,
)
from ..hooks import JobExecution
from ..jobs.job import At, Call
from ..result import EnqueueResult
from ..schedules.book import Book
from ..schedules.entry import ScheduleEntry
from ..schedules.record import Content, Record, Rule, Unique, default_id
from ..schedules.schedule import Schedule
from ..timing import format_moment

if TYPE_CHECKING:
    from .service import JobService

_logger: Final = logging.getLogger("waybill.schedules")
_LONGEST_ID: Final = 200
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


async def dispatch_on_schedule(
    service: JobService, call: Call, schedule: object, schedule_id: Any, options: Mapping[str, Any]
) -> EnqueueResult:
    """Send a job when its schedule says so.

    Raises:
        EnqueueError: it was not accepted; nothing was stored.
    """
    given = {**(call.options or {}), **options}
    if not isinstance(schedule, Schedule):
        raise EnqueueValueError(f"schedule is Schedule(cron=…), Schedule(every=…) and the like, not {schedule!r}")
    if schedule_id is not None and not (isinstance(schedule_id, str) and 0 < len(schedule_id) <= _LONGEST_ID):
        raise EnqueueValueError(f"a schedule_id is text of 1 to {_LONGEST_ID} characters, not {schedule_id!r}")
    if given.get("job_id") is not None and (schedule.recurring or schedule_id is not None):
        raise EnqueueValueError("each run of a schedule has an id of its own: name the schedule, schedule_id=")
    try:
        if not schedule.recurring and schedule_id is None:
            return await _send_once(service, call, schedule, given)
        return await _keep(service, call, schedule, schedule_id, given)
    except (EnqueueError, TypeError, AttributeError, AssertionError):  # the last three: a mistake in the call
        raise
    except Exception as error:
        raise as_enqueue_error(error, None) from error


async def _send_once(service: JobService, call: Call, schedule: Schedule, given: dict[str, Any]) -> EnqueueResult:
    when = schedule.first_possible
    assert when is not None
    if when > service.clock.now() and given.get("job_id") is None:
        content = _content(service, call, given)
        given["job_id"] = f"{default_id(content, schedule)}@{format_moment(when)}"
    try:
        return await service.send(Call(call.job, call.payload, At(when)), **given)
    except DelayNotSupportedError:
        try:
            return await _keep(service, call, schedule, None, {**given, "job_id": None})
        except UnsupportedError:
            pass
        raise


async def _keep(
    service: JobService, call: Call, schedule: Schedule, schedule_id: str | None, given: Mapping[str, Any]
) -> EnqueueResult:
    content = _content(service, call, given)
    await _fits(service, content)
    chosen = schedule_id or default_id(content, schedule)
    record = await _write(service, chosen, content, schedule, service.clock.now(), declared=False)
    return _result(record)


def _content(service: JobService, call: Call, given: Mapping[str, Any]) -> Content:
    prepared = service.rules.prepare(call.job, call.payload, None, **given)
    message, envelope = prepared.message, decode(prepared.message.body)
    unique = message.unique
    return Content(
        job_name=envelope.job_name,
        queue=prepared.queue,
        payload=msgspec.Raw(bytes(envelope.payload)),  # a copy, as this one keeps the whole message
        metadata=envelope.metadata or None,
        max_attempts=envelope.max_attempts,
        parent_id=envelope.parent_id,
        session=envelope.session,
        late=envelope.late,
        unique=None if unique is None else Unique(unique.key, unique.until, unique.window),
        group=message.group,
        priority=message.priority,
    )


async def _fits(service: JobService, content: Content) -> None:
    """Hold the job against its broker now, as nobody is there to be told when it is fired."""
    connection = await service.connect(service.broker_of(content.queue))
    probe = Record("x" * _LONGEST_ID, content, Rule(), service.clock.now(), None)
    connection.fit(_message(service, probe, probe.anchor), None, content.job_name)


async def _write(
    service: JobService, schedule_id: str, content: Content, schedule: Schedule, now: datetime, *, declared: bool
) -> Record:
    book = await service.books.of(content.queue)
    new = False

    def written(before: Record | None) -> Record:
        nonlocal new
        new = False
        if before is not None and before.rule == Rule.of(schedule):
            if (before.content, before.declared) == (content, declared):
                return before
            if before.next is not None:  # something else is to be sent from now on, at the same times
                new = True
                return msgspec.structs.replace(before, content=content, declared=declared)
        fresh = Record.begin(schedule_id, content, schedule, now, declared=declared)
        if fresh is None:
            raise EnqueueValueError(
                f"this schedule ({schedule}) has no run left: its end has passed. Nothing was stored."
            )
        new = True
        return fresh

    record = await book.change(schedule_id, written)
    assert record is not None
    if new:
        await book.changed()
        service.books.changed()
    return record


def _result(record: Record) -> EnqueueResult:
    recurring = record.rule.schedule.recurring
    instant = record.next or record.last or record.anchor
    return EnqueueResult(
        record.job_id(instant),
        record.job_id(instant),
        record.content.queue,
        "duplicate" if record.next is None else "scheduled",
        record.next,
        recurring=recurring,
        next_run_at=record.next if recurring else None,
        schedule_id=record.id,
    )


# -- what workers do -----------------------------------------------------------------------------------


async def declare_schedules(service: JobService) -> None:
    """Write down the schedules that registered jobs declare, under the jobs' names.

    Raises:
        UnsupportedError: there is no place for them.
    """
    for each in service.registry:
        schedule = each.job.options.schedule
        if schedule is not None:
            content = _content(service, Call(each.job), {})
            await _write(service, each.job.name, content, schedule, service.books.began, declared=True)


async def send_instant(service: JobService, record: Record, instant: datetime) -> None:
    """Send the job that a schedule fires at *instant*.

    Raises:
        EnqueueError: it was not accepted, or nobody knows.
    """
    content = record.content
    connection = await service.connect(service.broker_of(content.queue))
    message = connection.fit(_message(service, record, instant), None, content.job_name)
    message_id = await connection.send(message, None)
    if service.hooks.wants("job_enqueued"):
        payload = msgspec.json.decode(content.payload)
        job = JobExecution(
            message.id, content.job_name, content.queue, payload, 0, service.clock.now(), content.metadata or {}
        )
        result = EnqueueResult(
            message.id, message_id, content.queue, recurring=record.rule.schedule.recurring, schedule_id=record.id
        )
        await service.hooks.fire("job_enqueued", job=job, payload=payload, result=result)


def _message(service: JobService, record: Record, instant: datetime) -> Message:
    return record.message(instant, service.rules.address(record.content.queue), service.clock.now())


# -- what operators do ---------------------------------------------------------------------------------


async def list_schedules(service: JobService) -> list[ScheduleEntry]:
    """All of them, the next to run first, finished ones last."""
    books = await _books(service)
    found = []
    for book in books:
        async for record in book.records():
            try:
                found.append(entry_of(record))
            except InvalidScheduleError as error:  # a zone that is not known here, say
                _logger.warning("schedule %r cannot be shown here: %s", record.id, error)
    return sorted(found, key=lambda each: (each.next_run_at or _NEVER, each.schedule_id))


def entry_of(record: Record) -> ScheduleEntry:
    """What may be shown of a record: all but its session."""
    content = record.content
    return ScheduleEntry(
        record.id,
        content.job_name,
        content.queue,
        record.rule.schedule,
        "finished" if record.next is None else "active",
        record.next,
        record.last,
        record.fired,
        msgspec.json.decode(content.payload),
        content.metadata or {},
        record.declared,
    )


async def cancel_schedule(service: JobService, schedule_id: str) -> bool:
    """Remove a schedule; whether there was one that would have fired again."""
    for book in await _books(service):
        before = await book.get(schedule_id)
        if before is None:
            continue
        await book.change(schedule_id, lambda _: None)
        await book.changed()
        service.books.changed()
        return before[0].next is not None
    return False


async def _books(service: JobService) -> list[Book]:
    books = await service.books.all()
    if not books:
        await service.books.of(service.registry.queue)  # raises, with the cure
    return books

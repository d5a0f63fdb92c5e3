"""`waybill enqueue`: send one job."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from ..errors import InvalidScheduleError
from ..jobs.job import At, Call
from ..result import EnqueueResult
from ..schedules.schedule import Schedule
from ..timing import format_moment, parse_duration, parse_moment
from .application import find_service
from .failures import CommandError
from .logs import configure_logging
from .output import AsJson, plain, print_json, say
from .settings import Settings


def enqueue(
    settings: Settings,
    *,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its name.")],
    payload: Annotated[str, typer.Argument(metavar="JSON", help="Its payload; - reads it from stdin.")] = "null",
    delay: Annotated[str | None, typer.Option("--in", metavar="DURATION", help='Run it after "10m", "2h".')] = None,
    at: Annotated[str | None, typer.Option(metavar="MOMENT", help='Run it at "2026-01-31T09:00:00Z".')] = None,
    cron: Annotated[str | None, typer.Option(metavar="FIELDS", help='Run it each time, at "0 9 * * MON-FRI".')] = None,
    tz: Annotated[str, typer.Option(metavar="ZONE", help="Of --cron, such as Europe/Berlin.")] = "UTC",
    schedule_id: Annotated[str | None, typer.Option(help="Of --cron; the same again replaces it.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="In place of the job's own.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="Higher goes first.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="How often it may run again.")] = None,
    job_id: Annotated[str | None, typer.Option(help="Sent again with the same id, it is the same job.")] = None,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="An object that travels with it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send one job. Without --app the payload is not checked, and --queue is needed."""
    if sum(each is not None for each in (delay, at, cron)) > 1:
        raise typer.BadParameter("it runs after --in, --at or --cron, one of them")
    schedule = _schedule(cron, tz, schedule_id)
    due = _delay(delay) if delay is not None else _moment(at) if at is not None else None
    value = _json(sys.stdin.read() if payload == "-" else payload, "JSON")
    notes = None if metadata is None else _json(metadata, "--metadata")
    if notes is not None and not isinstance(notes, dict):
        raise typer.BadParameter("it is a JSON object", param_hint="--metadata")
    service = find_service(settings)
    configure_logging(settings)
    if queue is None and service.registry.find(job) is None:
        raise CommandError(_unknown(job, [each.job.name for each in service.registry]))

    async def send() -> EnqueueResult:
        async with service:
            options = {"queue": queue, "priority": priority, "retries": retries, "job_id": job_id, "metadata": notes}
            if schedule is not None:
                return await service.dispatch(job, value, schedule=schedule, schedule_id=schedule_id, **options)
            return await service.send(Call(job, value, due), **options)

    result = asyncio.run(send())
    if as_json:
        keys = ("job_id", "message_id", "queue", "status", "scheduled_at")
        more = () if schedule is None else ("recurring", "next_run_at", "schedule_id")
        print_json({name: value for name, value in asdict(result).items() if name in (*keys, *more)})
    elif schedule is not None:
        first = "has finished" if result.next_run_at is None else f"runs next at {format_moment(result.next_run_at)}"
        say(f"schedule {plain(result.schedule_id)} on {result.queue} {first}")
    else:
        when = "" if result.scheduled_at is None else f", runs at {format_moment(result.scheduled_at)}"
        say(f"{result.status}: {plain(result.job_id)} on {result.queue}{when}")


def _unknown(job: str, known: Sequence[str]) -> str:
    close = get_close_matches(job, known, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no job {job!r} is known here; {hint}With --queue it is sent unchecked. Nothing was sent."


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"it is not JSON: {error}. Quote it for the shell: '{{...}}'", param_hint=what
        ) from None


def _schedule(cron: str | None, tz: str, schedule_id: str | None) -> Schedule | None:
    if cron is None:
        if schedule_id is not None or tz != "UTC":
            raise typer.BadParameter("it belongs to --cron", param_hint="--schedule-id" if schedule_id else "--tz")
        return None
    try:
        return Schedule(cron=cron, tz=tz)
    except InvalidScheduleError as error:
        raise typer.BadParameter(str(error), param_hint="--cron") from None


def _delay(text: str) -> timedelta:
    try:
        return parse_duration(text, bare=False)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--in") from None


def _moment(text: str) -> At:
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is None:
            raise typer.BadParameter(f"{text!r} has no time zone; end it with Z or +02:00", param_hint="--at")
        return At(parse_moment(moment))
    except ValueError:
        raise typer.BadParameter(f'{text!r} is no moment; write "2026-01-31T09:00:00Z"', param_hint="--at") from None

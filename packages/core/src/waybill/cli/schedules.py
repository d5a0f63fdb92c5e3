"""`waybill schedules`: what runs by itself, and how to stop it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from ..schedules.entry import ScheduleEntry
from .application import find_service
from .failures import CommandError
from .logs import configure_logging
from .output import AsJson, Yes, ask, brief, cell, print_json, say, screen, table
from .settings import Settings


def list_schedules(
    settings: Settings,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also the finished ones.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the schedules, the next to run first."""
    service = find_service(settings)
    configure_logging(settings)

    async def read() -> list[ScheduleEntry]:
        async with service:
            return await service.schedules()

    found = [each for each in asyncio.run(read()) if every or each.status == "active"]
    if as_json:
        print_json([_facts(each) for each in found])
        return
    made = table("id", "job", "queue", "when", "next run", "last run", "runs", numbers=["runs"])
    for each in found:
        made.add_row(
            cell(each.schedule_id),
            cell(each.job_name),
            cell(each.queue),
            cell(_when(each)),
            cell(_local(each.next_run_at) or each.status, "" if each.next_run_at else "dim"),
            cell(_local(each.last_run_at)),
            cell(each.runs),
        )
    if found:
        screen().print(made)
    else:
        say("no schedules")


def cancel(
    settings: Settings,
    *,
    schedule_id: Annotated[str, typer.Argument(metavar="SCHEDULE_ID")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove a schedule. What it has sent already stays; what a job declares comes back with its next worker."""
    service = find_service(settings)
    configure_logging(settings)

    async def find() -> bool:
        async with service:
            return any(each.schedule_id == schedule_id for each in await service.schedules())

    async def remove() -> bool:
        async with service:
            return await service.cancel_schedule(schedule_id)

    if not asyncio.run(find()):
        raise CommandError(f"there is no schedule {schedule_id!r}", exit_code=1)
    ask(f"Remove the schedule {schedule_id!r} from {service.broker}?", yes=yes)
    stopped = asyncio.run(remove())
    if as_json:
        print_json({"schedule_id": schedule_id, "stopped": stopped})
    else:
        say(f"schedule {schedule_id!r} removed{'' if stopped else '; it had finished'}")


def _when(entry: ScheduleEntry) -> str:
    schedule = entry.schedule
    if schedule.cron is not None:
        said = f"{schedule.cron} {schedule.tz}"
    elif schedule.interval is not None:
        said = f"every {brief(schedule.interval)}"
    else:
        said = "once"
    if schedule.limit is not None:
        said += f", {entry.runs} of {schedule.limit}"
    if schedule.last_possible is not None:
        said += f", until {_local(schedule.last_possible)}"
    return said


def _local(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _facts(entry: ScheduleEntry) -> dict[str, Any]:
    rule = {name: value for name, value in asdict(entry.schedule).items() if value is not None}
    return asdict(entry) | {"schedule": rule}

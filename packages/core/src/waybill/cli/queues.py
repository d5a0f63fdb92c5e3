"""`waybill queues` and `waybill purge`: how many jobs are where, and away with those that wait."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from ..driver import QueueStats
from ..errors import BrokerUnavailableError, UnsupportedError
from ..sending.service import JobService
from .application import find_service
from .logs import configure_logging
from .output import AsJson, Yes, ask, cell, counted, print_json, say, screen, table
from .settings import Settings

Stats = dict[str, QueueStats]


def queues(
    settings: Settings,
    *,
    names: Annotated[list[str] | None, typer.Argument(metavar="QUEUE...", help="Only these.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, metavar="SECONDS", help="Between two looks.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Count the jobs of each queue; on a terminal, again and again until Ctrl-C."""
    service = find_service(settings)
    configure_logging(settings)
    if as_json:
        stats = asyncio.run(_look_once(service, names))
        print_json([{"queue": name, **asdict(each)} for name, each in stats.items()])
    elif once or not sys.stdout.isatty():
        screen().print(_as_table(asyncio.run(_look_once(service, names))))
    else:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_watch(service, names, every))


def purge(
    settings: Settings,
    *,
    queue: str,
    force: Annotated[bool, typer.Option("--force", help="Also where the broker may take new jobs with it.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete the jobs that wait in a queue. Running ones and dead letters stay."""
    service = find_service(settings)
    configure_logging(settings)

    async def count() -> int | None:
        async with service:
            service.rules.checked_queue(queue)
            with contextlib.suppress(UnsupportedError):
                stats = await service.stats(queue)
                return (stats.ready or 0) + (stats.delayed or 0)
            return None

    async def delete() -> int | None:
        async with service:
            return await service.purge(queue, force=force)

    waiting = asyncio.run(count())
    ask(f"Delete {counted(waiting, 'waiting job')} of {queue!r} on {service.broker_of(queue)}?", yes=yes)
    deleted = asyncio.run(delete())
    if as_json:
        print_json({"queue": queue, "deleted": deleted})
    else:
        say(f"{counted(deleted, 'waiting job')} of {queue!r} deleted")


async def names_of_queues(service: JobService) -> list[str]:
    """Those the application names, then any other its brokers have."""
    named = service.known_queues() if service.queues or list(service.registry) else []
    found: list[str] = []
    for queue in (None, *service.brokers):
        try:
            found += await (await service.operator(queue)).queues()
        except UnsupportedError:
            if not named:
                raise
    return list(dict.fromkeys([*named, *found]))


async def _look_once(service: JobService, names: Sequence[str] | None) -> Stats:
    async with service:
        return await _look(service, names)


async def _look(service: JobService, names: Sequence[str] | None) -> Stats:
    return {
        each: await service.stats(service.rules.checked_queue(each)) for each in names or await names_of_queues(service)
    }


async def _watch(service: JobService, names: Sequence[str] | None, every: float) -> None:
    """Look again and again; a broker that is away is said so, and waited for."""
    async with service:
        stats = await _look(service, names)
        with Live(_as_table(stats, "Ctrl-C ends"), console=screen(), auto_refresh=False, screen=False) as live:
            while True:
                await asyncio.sleep(every)
                try:
                    stats = await _look(service, names)
                    caption = f"{time.strftime('%H:%M:%S')}, Ctrl-C ends"
                except BrokerUnavailableError as error:
                    caption = f"not up to date: {error}"
                live.update(_as_table(stats, caption), refresh=True)


def _as_table(stats: Stats, caption: str | None = None) -> Table:
    made = table("queue", "ready", "delayed", "running", "dead", numbers=["ready", "delayed", "running", "dead"])
    for name, each in stats.items():
        made.add_row(
            cell(name),
            cell(each.ready, "bold" if each.ready else "dim"),
            cell(each.delayed, "" if each.delayed else "dim"),
            cell(each.leased, "green" if each.leased else "dim"),
            cell(each.dead, "bold red" if each.dead else "dim"),
        )
    if not stats:
        made.add_row(cell("no queues yet", "dim"))
    made.caption = None if caption is None else cell(caption)
    made.caption_justify = "left"
    return made

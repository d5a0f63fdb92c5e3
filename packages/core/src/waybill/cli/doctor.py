"""`waybill doctor`: what a URL really promises, and whether it fits the jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Final

import typer
from rich.text import Text

from ..config import load_config
from ..driver import Capabilities, Diagnoses, Note
from ..drivers import installed_drivers
from ..errors import UnsupportedError, WaybillError
from ..sending.broker import Broker
from ..sending.service import JobService
from .application import find_service
from .drivers import promises
from .failures import without_secrets
from .logs import configure_logging
from .output import AsJson, cell, counted, plain, print_json, say, screen, table
from .settings import Settings

_STYLES: Final = {"ok": "green", "info": "blue", "warning": "yellow", "error": "bold red"}
_DURABILITY: Final = {
    "process": "accepted jobs may be lost when the process that keeps them is killed",
    "host-lazy": "accepted jobs survive a kill of the process that keeps them; a crash of the machine may lose some",
    "host-fsync": "an accepted job is on the disk: it survives a crash of the machine",
    "replicated": "an accepted job is on several machines",
}


def doctor(settings: Settings, *, as_json: AsJson = False) -> None:
    """Examine the broker and hold the application's jobs against it. Exit code 1: something is wrong."""
    service = find_service(settings)
    configure_logging(settings)
    notes: list[Note] = []
    able: dict[str, Capabilities] = {}

    async def examine() -> None:
        try:
            async for each in _examine(service, able):
                notes.append(each)
                if not as_json:
                    _show(each)
        finally:
            await service.close()

    if not as_json:
        _show(_about(service, settings))
    asyncio.run(examine())
    wrong = sum(each.level == "error" for each in notes)
    if as_json:
        claims = {url: promises(each) for url, each in able.items()}
        print_json({"ok": not wrong, "notes": [asdict(each) for each in notes], "claims": claims})
    else:
        for url, promised in able.items():
            _show_promises(url, promised)
        doubtful = sum(each.level == "warning" for each in notes)
        say(f"{counted(wrong, 'error')}, {counted(doubtful, 'warning')}")
    raise typer.Exit(1 if wrong else 0)


def _about(service: JobService, settings: Settings) -> Note:
    """What is looked at."""
    name = settings.app or load_config().app
    jobs = len(list(service.registry))
    return Note("info", "no application: only the broker is examined" if name is None else f"{name}, {jobs} jobs")


async def _examine(service: JobService, able: dict[str, Capabilities]) -> AsyncIterator[Note]:
    reached = True
    for broker in (service.broker, *service.brokers.values()):
        try:
            async for each in _examine_broker(broker, able):
                yield each
        except WaybillError as error:
            reached = False
            yield Note("error", f"{broker} cannot be used: {without_secrets(str(error))}")
    if reached and list(service.registry):
        try:
            await service.check()
            yield Note("ok", "the broker keeps all that the jobs ask")
            for each in _doubtful_schedules(service, able):
                yield each
        except UnsupportedError as error:
            for problem in error.problems or [str(error)]:
                yield Note("error", problem)


async def _examine_broker(broker: Broker, able: dict[str, Capabilities]) -> AsyncIterator[Note]:
    start = time.perf_counter()
    connection = await broker.connect()
    took = (time.perf_counter() - start) * 1000
    yield Note("ok", f"{broker} is reached in {took:.1f} ms{_served_by(str(broker))}")
    able[str(broker)] = connection.capabilities
    durability = connection.capabilities.durability
    yield Note("info" if durability == "process" else "ok", f"durability {durability}: {_DURABILITY[durability]}")
    if isinstance(connection.driver, Diagnoses):
        for each in await connection.driver.diagnose():
            yield each


def _doubtful_schedules(service: JobService, able: dict[str, Capabilities]) -> Iterator[Note]:
    for each in service.registry:
        claims = able.get(str(service.broker_of(each.queue)))
        if each.job.options.schedule is not None and claims is not None and claims.idempotent_enqueue is None:
            yield Note(
                "info",
                f"{each.job.name}: this broker forgets ids, so an instant of its schedule may run twice "
                "if a worker is killed just after it has fired it",
                "let its handler bear that: ctx.job_id is the same in both",
            )


def _served_by(url: str) -> str:
    entries = installed_drivers().get(url.partition("://")[0], [])
    return "".join(f", by {each.dist.name} {each.dist.version}" for each in entries if each.dist)


def _show(note: Note) -> None:
    mark = Text(f"{note.level:8}", _STYLES[note.level])
    screen().print(Text.assemble(mark, plain(note.fact)), soft_wrap=True)
    if note.cure:
        screen().print(Text.assemble(" " * 8, ("→ ", "dim"), (plain(note.cure), "dim")), soft_wrap=True)


def _show_promises(url: str, able: Capabilities) -> None:
    made = table("", "")
    made.show_header = False
    for name, value in promises(able).items():
        made.add_row(cell(name, "dim"), cell(value))
    made.title = cell(url, "bold")
    made.title_justify = "left"
    screen().print(made)

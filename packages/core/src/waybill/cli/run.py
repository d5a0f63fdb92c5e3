"""`waybill run`: a command of the application."""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from typing import Annotated

import typer

from ..commands import find_command, known_commands
from .application import find_service
from .failures import CommandError
from .logs import configure_logging
from .output import cell, say, screen, table
from .settings import Settings


def run(
    settings: Settings,
    *,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Which; without one they are listed.")] = None,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGUMENT...", help="Handed to it.")] = None,
) -> None:
    """Run a command of the application, or of an installed package, by its key. What it raises ends it with 1."""
    service = find_service(settings)  # its modules may define commands
    configure_logging(settings)
    known = known_commands()
    if key is None:
        _list(known)
        return
    command = find_command(key)
    if command is None:
        close = get_close_matches(key, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else "`waybill run` lists those there are"
        raise CommandError(f"there is no command {key!r}; {hint}")

    async def carry_out() -> None:
        async with service:
            with service.as_current():
                await command().handle(service, arguments or [])

    asyncio.run(carry_out())


def _list(known: dict[str, str]) -> None:
    if not known:
        say("no commands")
        return
    made = table("command", "")
    for name, description in known.items():
        made.add_row(cell(name), cell(description))
    screen().print(made)

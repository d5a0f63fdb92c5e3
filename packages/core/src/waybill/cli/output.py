"""What commands print: tables for people, JSON for programs, and a question before something is deleted."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..timing import format_moment

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_PIPED_WIDTH = 200  # nobody reads a pipe at 80 columns


def screen() -> Console:
    """Where tables go."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False)


def table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    """An empty table whose *numbers* are aligned at the right."""
    made = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for each in columns:
        made.add_column(each, justify="right" if each in numbers else "left", overflow="fold")
    return made


def plain(text: object) -> str:
    """Text from elsewhere as one harmless line: control characters are escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(text))


def cell(value: object, style: str = "") -> Text:
    """A table's cell with a value from elsewhere, which is never read as markup."""
    if value is None:
        return Text("-", "dim")
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain(value)
    return Text(text, style)


def say(line: str) -> None:
    """One line on stdout."""
    sys.stdout.write(f"{line}\n")


def counted(number: int | None, what: str) -> str:
    """1 job, 2 jobs; None: all jobs."""
    return f"{'all' if number is None else f'{number:,}'} {what}{'' if number == 1 else 's'}"


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    say(json.dumps(value, indent=2, default=_as_json))


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_moment(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def brief(duration: timedelta | None) -> str:
    """A duration as it would be written: 30s, 1h30m."""
    if duration is None:
        return "any"
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            parts.append(f"{int(seconds // size)}{unit}")
            seconds %= size
    if seconds or not parts:
        parts.append(f"{seconds:g}s")
    return "".join(parts)


def ask(question: str, *, yes: bool) -> None:
    """Go on only if a person, or `--yes`, says so.

    Raises:
        CommandError: nobody is there to be asked. typer.Abort: the answer is no.
    """
    from .failures import CommandError

    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} There is no terminal to ask on: say --yes. Nothing was changed.")
    typer.confirm(question, abort=True, err=True)

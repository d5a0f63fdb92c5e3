"""The command `waybill`: its verbs, what they share, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from . import dead, doctor, drivers, enqueue, jobs, queues, run as runs, schedules, worker
from .commands import OpenGroup
from .demo import command as demo
from .failures import exit_code_of
from .output import say
from .settings import Settings, takes_settings

_HELP = """Background jobs that do not care which broker carries them.

Exit codes: 0 done, 1 it failed or could not start, 2 misuse or a failed check.
"""

app = typer.Typer(name="waybill", cls=OpenGroup, help=_HELP, add_completion=False, pretty_exceptions_enable=False)
verbs: list[Callable[..., None]] = [
    worker.worker,
    enqueue.enqueue,
    queues.queues,
    queues.purge,
    jobs.jobs,
    runs.run,
    drivers.drivers,
    doctor.doctor,
    demo.demo,
]
for verb in verbs:
    app.command()(takes_settings(verb))

dead_letters = typer.Typer(help="Jobs that were given up: list, show, retry or purge them.")
app.add_typer(dead_letters, name="dead")
about_the_dead: dict[str, Callable[..., None]] = {
    "list": dead.list_dead,
    "show": dead.show,
    "retry": dead.retry,
    "purge": dead.purge,
}
for name, verb in about_the_dead.items():
    dead_letters.command(name)(takes_settings(verb))

recurrences = typer.Typer(help="What runs by itself: list or cancel schedules.")
app.add_typer(recurrences, name="schedules")
about_schedules: dict[str, Callable[..., None]] = {"list": schedules.list_schedules, "cancel": schedules.cancel}
for name, verb in about_schedules.items():
    recurrences.command(name)(takes_settings(verb))


@app.callback(invoke_without_command=True)
@takes_settings
def _start(
    settings: Settings,
    *,
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    ctx.obj = settings
    if version:
        say(f"waybill {installed_version('waybill')} on Python {sys.version.split()[0]}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        say(ctx.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command; how the process should exit. What goes wrong is told in one line on stderr."""
    try:
        code = app(arguments, prog_name="waybill", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        return exit_code_of(error, debug="--debug" in arguments)
    return code if isinstance(code, int) else 0

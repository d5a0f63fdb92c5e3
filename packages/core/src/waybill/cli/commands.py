"""Commands that other packages add: `waybill sqs scheduler` is there once waybill-sqs is installed.

A package names a module in the entry-point group `waybill.commands`. The entry point's name is the group's, as in
`waybill sqs …`; the module's docstring is its help; the functions in its `__all__` are the commands, with `_` for `-`.
A parameter `settings` receives the options of every command (`waybill.cli.settings.Settings`).
Nothing is imported before it is asked for.
"""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

from .failures import CommandError
from .settings import takes_settings

if TYPE_CHECKING:
    from types import ModuleType

GROUP: Final = "waybill.commands"


class OpenGroup(TyperGroup):
    """The commands of the core, and those of installed packages."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted({each.name for each in entry_points(group=GROUP)} - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = list(entry_points(group=GROUP, name=cmd_name))
        if not found:
            return None
        try:
            return _as_command(cmd_name, found[0].load())
        except Exception as error:
            return _as_broken(cmd_name, error)


def _as_command(name: str, module: ModuleType) -> Any:
    group = typer.Typer(help=(module.__doc__ or "").partition("\n")[0], no_args_is_help=True)
    group.callback()(_nothing)  # so that one command alone is a group too
    for each in module.__all__:
        command = getattr(module, each)
        if "settings" in inspect.signature(command).parameters:
            command = takes_settings(command)
        group.command(each.rstrip("_").replace("_", "-"))(command)
    made = typer.main.get_group(group)
    made.name = name  # as the list of commands shows it
    return made


def _as_broken(name: str, reason: Exception) -> Any:
    """In the list with the others, whose help is not to suffer from it."""

    def fail() -> None:
        raise CommandError(f"`waybill {name}` cannot be loaded: {type(reason).__name__}: {reason}", exit_code=1)

    broken = typer.Typer()
    broken.command(name, help=f"Cannot be loaded: {reason}")(fail)
    return typer.main.get_command(broken)


def _nothing() -> None:
    pass

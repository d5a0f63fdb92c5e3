"""Commands of an application, run by `waybill run KEY`.

A command is found by its key: in what the application's modules define, or among the entry points of the group
`waybill.job_commands`, whose names are the keys.

    class ProcessUsers(Command):
        key = "users:process"
        description = "Queue a job for each user"

        async def handle(self, service: JobService, arguments: Sequence[str]) -> None:
            await service.enqueue_many(process_user, await users(), on_progress=ShowProgress())
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .errors import ConfigurationError

if TYPE_CHECKING:
    from .sending.service import JobService

ENTRY_POINTS: Final = "waybill.job_commands"


class Command:
    """Something a person starts by its key. `handle` raises what went wrong; whatever it returns is success."""

    key: ClassVar[str] = ""
    description: ClassVar[str] = ""
    defined: ClassVar[dict[str, type[Command]]] = {}
    """By key, those of the modules that were imported."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "key" in vars(cls):
            _check_key(cls.__name__, cls.key)
            Command.defined[cls.key] = cls

    async def handle(self, service: JobService, arguments: Sequence[str]) -> object:
        """Do it; *service* is open and the current one, so that `job.dispatch()` uses it."""
        raise NotImplementedError(f"{type(self).__name__} needs `async def handle(self, service, arguments)`")

    def info(self, message: str) -> None:
        """Tell the person who started it."""
        sys.stdout.write(f"{message}\n")

    success = info


def _check_key(name: str, key: Any) -> None:
    if not isinstance(key, str) or not key or key.startswith("-"):
        raise ConfigurationError(f'{name}: key is text such as "users:process", not {key!r}')


def find_command(key: str) -> type[Command] | None:
    """The command of that key.

    Raises:
        ConfigurationError: the package that has it cannot be imported, or names something else.
    """
    if key in Command.defined:
        return Command.defined[key]
    from importlib.metadata import entry_points

    for each in entry_points(group=ENTRY_POINTS, name=key):
        try:
            found = each.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"command {key!r} ({each.value}) cannot be imported: {error}") from error
        if not (isinstance(found, type) and issubclass(found, Command)):
            raise ConfigurationError(f"command {key!r} ({each.value}) is no Command class: {found!r}")
        return found
    return None


def known_commands() -> dict[str, str]:
    """The keys, with their descriptions as far as they are known without an import."""
    from importlib.metadata import entry_points

    installed = {each.name: f"of {each.value.partition(':')[0]}" for each in entry_points(group=ENTRY_POINTS)}
    defined = {key: each.description for key, each in Command.defined.items()}
    return dict(sorted({**installed, **defined}.items()))

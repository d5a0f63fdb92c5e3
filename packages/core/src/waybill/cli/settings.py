"""The options every command takes, before its name or after it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

_PANEL = "Options of every command"


class LogLevel(StrEnum):
    """What is worth a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """For people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


def _option(*names: str, **details: Any) -> Any:
    return typer.Option(*names, rich_help_panel=_PANEL, show_default=False, **details)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the jobs are and how to talk about them; None is what the configuration says."""

    app: Annotated[
        str | None,
        _option(
            "--app",
            metavar="MODULE:OBJECT",
            help="The application's service, or a function that returns it; its code is imported, and so runs. "
            "By default what WAYBILL_APP, waybill.toml or pyproject.toml says.",
        ),
    ] = None
    app_dir: Annotated[
        Path | None,
        _option("--app-dir", metavar="DIR", help="Goes first on sys.path, in place of the working directory."),
    ] = None
    url: Annotated[
        str | None,
        _option(
            "--url",
            metavar="URL",
            help="The broker, in place of the application's. Arguments are visible to other users of this machine: "
            "a URL with a password belongs in WAYBILL_URL.",
        ),
    ] = None
    debug: Annotated[bool, _option("--debug", help="Show the traceback of an error.")] = False
    log_level: Annotated[
        LogLevel | None,
        _option("--log-level", case_sensitive=False, help="Of the log on stderr, unless the application set its own."),
    ] = None
    log_format: Annotated[LogFormat | None, _option("--log-format", case_sensitive=False, help="Of the same.")] = None

    def over(self, earlier: Settings) -> Settings:
        """These, and for what they leave open the *earlier* ones."""
        return Settings(**{each.name: getattr(self, each.name) or getattr(earlier, each.name) for each in fields(self)})


def takes_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Turn the parameter `settings` into its options, so that typer reads them from the command line."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    shared = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in fields(Settings)
    ]
    own = inspect.signature(function, eval_str=True).parameters
    given = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in own.items() if name != "settings"]
    if "ctx" not in own:
        given.append(inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))

    def call(**values: Any) -> None:
        settings = Settings(**{each.name: values.pop(each.name) for each in fields(Settings)})
        ctx = values["ctx"] if "ctx" in own else values.pop("ctx")
        earlier = ctx.find_root().obj
        function(settings=settings if earlier is None else settings.over(earlier), **values)

    call.__doc__, call.__name__ = function.__doc__, function.__name__
    call.__signature__ = inspect.Signature([*given, *shared])  # type: ignore[attr-defined]
    call.__annotations__ = {}
    return call

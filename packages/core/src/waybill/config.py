"""Settings from outside the code: `WAYBILL_*` in the environment, then `waybill.toml` or `[tool.waybill]`."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Config:
    """What was found; None for what nobody set."""

    app: str | None = None
    url: str | None = None
    queues: tuple[str, ...] | None = None
    default_queue: str | None = None


def load_config(directory: Path | None = None, *, files: bool = True) -> Config:
    """Read the settings that hold in *directory* (the working directory by default).

    Without *files* only the environment is read: nothing that could hold up an event loop.

    Raises:
        ConfigurationError: a file is not TOML, or has an unknown or malformed setting.
    """
    from pathlib import Path

    values = _from_file(directory or Path.cwd()) if files else {}
    for each in fields(Config):
        text = os.environ.get(f"WAYBILL_{each.name.upper()}")
        if text:
            values[each.name] = tuple(part.strip() for part in text.split(",")) if each.name == "queues" else text
    return Config(**values)


def _from_file(directory: Path) -> dict[str, Any]:
    for name, keys in (("waybill.toml", ()), ("pyproject.toml", ("tool", "waybill"))):
        path = directory / name
        if not path.is_file():
            continue
        import tomllib

        try:
            table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is not TOML: {error}") from error
        for key in keys:
            table = table.get(key, {})
        # A table inside is not a setting of ours: [tool.waybill.x] may belong to a plugin or to the project.
        table = {name: value for name, value in table.items() if not isinstance(value, dict)}
        if table or not keys:
            return _checked(table, path)
    return {}


def _checked(table: dict[str, Any], path: Path) -> dict[str, Any]:
    known = {each.name for each in fields(Config)}
    for name, value in table.items():
        if name not in known:
            raise ConfigurationError(f"{path}: no setting {name!r}; there are {', '.join(sorted(known))}")
        if name == "queues":
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise ConfigurationError(f"{path}: queues is a list of names")
        elif not isinstance(value, str):
            raise ConfigurationError(f"{path}: {name} is text, not {value!r}")
    return {name: tuple(value) if name == "queues" else value for name, value in table.items()}

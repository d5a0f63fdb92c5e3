"""Statements live in .sql files, one per purpose, each under its name: `-- name: take`."""

from __future__ import annotations

import re
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, Final

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def text(name: str) -> str:
    """The file `<name>.sql` beside this one."""
    return files("waybill_sqlite").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def statements(name: str) -> Any:
    """The statements of `<name>.sql`, as attributes."""
    _, *parts = _NAME.split(text(name))
    return SimpleNamespace(**{name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)})

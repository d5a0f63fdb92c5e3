"""The cases that were published: a suite from which one was deleted must not pass for the whole."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Container
from pathlib import Path
from typing import Final

import pytest

from .case import Case

HERE: Final = Path(__file__).parent
PUBLISHED: Final = HERE / "cases.txt"


def published() -> list[str]:
    """The names of all cases."""
    return PUBLISHED.read_text(encoding="utf-8").split()


def missing_cases(collected: Container[str], config: pytest.Config) -> list[str]:
    """The published cases that were not collected, if all of the suite was asked for."""
    return [name for name in published() if name not in collected] if any(map(_covers, config.args)) else []


def _covers(argument: str) -> bool:
    path = Path(argument).resolve()
    return argument in {"waybill_conformance", "waybill_conformance.cases"} or path in {
        *HERE.parents,
        HERE,
        HERE / "cases",
    }


def cases() -> list[Case]:
    """All cases of the suite, by name."""
    modules = [
        importlib.import_module(f"{__package__}.cases.{each.name}")
        for each in pkgutil.iter_modules([str(HERE / "cases")])
    ]
    found = {
        name: value.case
        for module in modules
        for name, value in vars(module).items()
        if isinstance(getattr(value, "case", None), Case)
    }
    return [found[name] for name in sorted(found)]


def publish() -> None:
    """Write the names down anew, after a case was added or renamed."""
    PUBLISHED.write_text("".join(f"{each.name}\n" for each in cases()), encoding="utf-8")


if __name__ == "__main__":
    publish()

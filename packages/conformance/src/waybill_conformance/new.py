"""A new driver's package: the template with another name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Final

# The template is a working package called "example", so that it is linted, type-checked and can be run as it is.
# Files that would be taken for this package's own are kept under names that nobody takes for anything.
_STORED: Final = {"tests/test_example.py.txt": "tests/test_example.py", "gitignore.txt": ".gitignore"}
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN: Final = frozenset({"conformance", "example", "memory"})


class NewError(Exception):
    """The package cannot be made, and why; nothing was written."""


def scheme_of(name: str) -> str:
    """The scheme of its URLs, in which there is no hyphen."""
    return name.replace("-", "")


def new(name: str, parent: Path) -> Path:
    """Make the folder `waybill-<name>` in *parent*, and return it.

    Raises:
        NewError: the name cannot be one, or the folder is there.
    """
    short = name.removeprefix("waybill-")
    if not _NAME.fullmatch(short) or len(short) > 40:
        raise NewError(
            f"{name!r} is no name for a driver: up to 40 small letters, digits and single hyphens, the first a letter, "
            "such as 'kafka' or 'my-broker'. Nothing was written."
        )
    if short in _TAKEN:
        raise NewError(f"{short!r} is a name of Waybill's own. Nothing was written. Choose another.")
    folder = parent / f"waybill-{short}"
    if folder.exists() or folder.is_symlink():
        raise NewError(f"{folder} is there already. Nothing was written. Choose another name, or remove it.")
    for path, text in _template(files("waybill_conformance") / "template", PurePosixPath()):
        stored = str(path)
        target = folder / _named(_STORED.get(stored, stored), short)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_named(text, short), encoding="utf-8")
    if short != scheme_of(short):
        _found_by_both_names(folder / "pyproject.toml", short)
    return folder


def _template(place: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    """Every file of the template, as (path, text)."""
    for each in place.iterdir():
        if each.is_dir():
            if each.name != "__pycache__":
                yield from _template(each, path / each.name)
        else:
            yield path / each.name, each.read_text(encoding="utf-8")


def _named(text: str, name: str) -> str:
    """The template's text, with the new name in each of its forms."""
    forms = {
        "waybill-example": f"waybill-{name}",
        "waybill_example": f"waybill_{name.replace('-', '_')}",
        "test_example": f"test_{name.replace('-', '_')}",
        "Example": "".join(part.capitalize() for part in name.split("-")),
        "example": scheme_of(name),
    }
    return re.sub("|".join(forms), lambda found: forms[found[0]], text)


def _found_by_both_names(pyproject: Path, name: str) -> None:
    """Let `--driver my-broker` find the harness as `--driver mybroker` does."""
    text = pyproject.read_text(encoding="utf-8")
    [line] = re.findall(r"^\w+ = \"\S+Harness\"\n", text, re.MULTILINE)
    pyproject.write_text(text.replace(line, f"{line}{name}{line[len(scheme_of(name)) :]}"), encoding="utf-8")

"""From the options of the command line to a harness."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest

from .harness import Harness

GROUP = "waybill.harnesses"


def find_harness(driver: str | None, path: str | None, url: str | None) -> Harness:
    """Make the harness that `--harness` names, or the one registered for the scheme `--driver`.

    Raises:
        pytest.UsageError: there is none, or it cannot be made.
    """
    if (driver is None) == (path is None):
        raise pytest.UsageError(
            "name what to test: either --driver SCHEME (an installed driver) or --harness module:Class"
        )
    named = f"--driver {driver}" if path is None else f"--harness {path}"
    try:
        found = _registered(driver) if driver is not None else _at(str(path))
        made = found() if callable(found) else found
    except pytest.UsageError:
        raise
    except Exception as error:
        raise pytest.UsageError(f"{named}: the harness cannot be made: {type(error).__name__}: {error}") from error
    harness = _checked(made, named)
    if url is not None:
        harness.url = url
    return harness


def _registered(scheme: str) -> Any:
    known = {each.name: each for each in entry_points(group=GROUP)}
    if scheme not in known:
        raise pytest.UsageError(
            f"--driver {scheme}: no harness is registered for it; known: {', '.join(sorted(known))}. "
            f"Run: pip install waybill-{scheme}, or name a harness with --harness module:Class"
        )
    return known[scheme].load()


def _at(path: str) -> Any:
    module, colon, name = path.partition(":")
    if not colon or not name:
        raise pytest.UsageError(f"--harness {path}: write module:Class, such as mypackage.harness:MyHarness")
    if (here := str(Path.cwd())) not in sys.path:  # as `waybill --app` does
        sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise pytest.UsageError(f"--harness {path}: {error}") from error


def _checked(harness: object, named: str) -> Harness:
    """The harness, if it is one of this suite.

    Raises:
        pytest.UsageError: it is none, or one of another major version.
    """
    if not isinstance(harness, Harness):
        raise pytest.UsageError(
            f"{named} made {harness!r}, which is no waybill_conformance.Harness of the installed suite "
            f"(version {version('waybill-conformance')}): derive the class from it"
        )
    if type(harness).open is Harness.open:
        raise pytest.UsageError(f"{named}: the harness needs `async def open(self, *, lease)`")
    ours = version("waybill-conformance")
    if harness.suite and _major(harness.suite) != _major(ours):
        raise pytest.UsageError(
            f"{named} was written for waybill-conformance {harness.suite}, and {ours} is installed. "
            f"Run: pip install 'waybill-conformance~={harness.suite}.0', or port the harness"
        )
    return harness


def _major(text: str) -> tuple[str, ...]:
    """What must agree: the first number, and while that is 0 the second."""
    first, _, rest = text.partition(".")
    return (first, rest.partition(".")[0]) if first == "0" else (first,)

"""Finding jobs by the names of files: `jobs.py` and `*_job.py`, anywhere under a package."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from ..errors import ConfigurationError
from .job import Job
from .registry import AnyJob, JobModule


def discover_jobs(package: str | ModuleType) -> list[AnyJob | type[AnyJob] | JobModule]:
    """The jobs and modules of jobs in `jobs.py` and `*_job.py` files under a package, which are imported.

    Args:
        package: such as "shop"; a single module is taken as it is.

    Raises:
        ConfigurationError: there is no such package, or one of the files cannot be imported.
    """
    root = _imported(package) if isinstance(package, str) else package
    found: dict[int, Any] = {}
    for module in _modules(root):
        for value in vars(module).values():
            if _is_job(value, module):
                found.setdefault(id(value), value)
    # What a module of jobs gives its members is to hold for them, so they are registered by it.
    return sorted(found.values(), key=lambda each: not isinstance(each, JobModule))


def _modules(root: ModuleType) -> Iterator[ModuleType]:
    if not hasattr(root, "__path__"):
        yield root
        return
    import pkgutil

    for each in pkgutil.walk_packages(root.__path__, f"{root.__name__}.", onerror=_broken):
        name = each.name.rpartition(".")[2]
        if name == "jobs" or name.endswith("_job"):
            yield _imported(each.name)


def _imported(name: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ConfigurationError(f"jobs cannot be discovered in {name}: {type(error).__name__}: {error}") from error


def _broken(name: str) -> None:
    _imported(name)  # raises again, and says which


def _is_job(value: object, module: ModuleType) -> bool:
    """Not what was only imported there, to be extended or sent."""
    if isinstance(value, JobModule):
        return True
    if isinstance(value, Job):
        return getattr(value, "__module__", module.__name__) in {module.__name__, Job.__module__}
    return isinstance(value, type) and issubclass(value, Job) and value.__module__ == module.__name__

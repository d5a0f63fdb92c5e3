"""From `--app` and `--url` to the service they mean."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..config import load_config
from ..drivers import open_driver
from ..errors import ConfigurationError
from ..jobs.job import Job
from ..sending.service import JobService
from .failures import CommandError
from .settings import Settings


def load_service(settings: Settings) -> JobService:
    """The application's service; `--url` takes the place of its broker.

    Raises:
        CommandError: no application is named, or it cannot be loaded.
    """
    name = settings.app or _configured("app")
    if name is None:
        raise CommandError(
            "which application? Say --app module:object, set WAYBILL_APP, or write app = into waybill.toml"
        )
    if settings.url is not None:
        _checked(settings.url)
        os.environ["WAYBILL_URL"] = settings.url  # an application without a URL of its own asks for it at import
    service = _service(_load(name, settings.app_dir), name)
    if settings.url is not None and service.driver != settings.url:
        service.swap_driver(settings.url)
    for broker in (service.broker, *service.brokers.values()):
        if isinstance(broker.source, str):
            _checked(broker.source)
    return service


def find_service(settings: Settings) -> JobService:
    """The application's service or, where none is named, one that knows the broker alone.

    Raises:
        CommandError: there is neither.
    """
    if settings.app or _configured("app"):
        return load_service(settings)
    url = settings.url or _configured("url")
    if url is None:
        raise CommandError("which broker? Say --url or --app, set WAYBILL_URL or WAYBILL_APP, or write waybill.toml")
    _checked(url)
    return JobService(url)


def _configured(key: str) -> Any:
    try:
        return getattr(load_config(), key)
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


def _checked(url: str) -> None:
    """Refuse a URL nobody serves before anything is started."""
    try:
        open_driver(url)
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


def _load(name: str, directory: Path | None) -> Any:
    module_name, colon, path = name.partition(":")
    if not colon or not path or not all(each.isidentifier() for each in (*module_name.split("."), *path.split("."))):
        raise CommandError(f"{name!r} names no object; write module:object, such as app.jobs:service")
    place = str((directory or Path.cwd()).resolve())
    if not Path(place).is_dir():
        raise CommandError(f"--app-dir {place} is no directory")
    sys.path.insert(0, place)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise CommandError(f"there is no module {error.name!r} in {place} or on sys.path; see --app-dir") from error
        raise _broken(module_name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(module_name, error) from error
    for each in path.split("."):
        if not hasattr(found, each):
            raise CommandError(f"{module_name} has no {path!r}{_hint(found, each)}")
        found = getattr(found, each)
    return found


def _service(found: Any, name: str) -> JobService:
    if callable(found) and not isinstance(found, Job):  # calling a job would run it
        try:
            found = found()
        except Exception as error:
            raise _broken(name, error) from error
    if not isinstance(found, JobService):
        raise CommandError(f"{name} is a {type(found).__name__}; --app names a JobService, or a function that makes it")
    return found


def _broken(what: str, error: BaseException) -> CommandError:
    """The application's own mistake, with the line that raised it."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    here = Path(__file__).parents[1]
    theirs = [each for each in frames if here not in Path(each.filename).parents and "importlib" not in each.filename]
    where = f" at {theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""
    return CommandError(f"{what} cannot be loaded: {type(error).__name__}{where}: {error}", exit_code=1)


def _hint(module: Any, wanted: str) -> str:
    services = [name for name, value in vars(module).items() if isinstance(value, JobService)]
    close = get_close_matches(wanted, vars(module), 1) if hasattr(module, "__dict__") else []
    meant = close or services[:1]
    return f"; did you mean {meant[0]!r}?" if meant else ""

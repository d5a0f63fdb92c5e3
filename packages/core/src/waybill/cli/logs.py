"""Logging, which the library leaves to its user and the command line sets up."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

from ..timing import format_moment
from .output import plain
from .settings import LogFormat, LogLevel, Settings

_TEXT: Final = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s%(of_the_job)s"
_OF_THE_JOB: Final = ("job_id", "job_name", "queue", "attempt")


def configure_logging(settings: Settings) -> None:
    """Log to stderr, unless the application has set up logging by itself."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if settings.log_format is LogFormat.JSON else _Text(_TEXT))
    root.addHandler(handler)
    root.setLevel((settings.log_level or LogLevel.INFO).upper())


class _Text(logging.Formatter):
    """A line a person reads; what a job logs ends with the job."""

    def format(self, record: logging.LogRecord) -> str:
        values = vars(record)
        record.of_the_job = ""
        if record.name == "waybill.job" and "job_id" in values:
            record.of_the_job = f" [{values['job_name']!r} {values['job_id']!r} attempt {values['attempt']}]"
        # What a job logs or raises may come from outside: no control character gets as far as the terminal.
        return "\n".join(plain(line) for line in super().format(record).split("\n"))


class _Json(logging.Formatter):
    """One JSON object a line, with the job's fields and those it was logged with."""

    def format(self, record: logging.LogRecord) -> str:
        values = vars(record)
        told: dict[str, Any] = {
            "time": format_moment(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        told |= {name: values[name] for name in (*_OF_THE_JOB, "fields") if name in values}
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)

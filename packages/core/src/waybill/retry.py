"""When a failed job runs again, and what becomes of it when it does not."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from .errors import PermanentJobError, TransientJobError
from .timing import Duration, parse_duration

Backoff: TypeAlias = Callable[[int], timedelta]
"""From the number of the run that failed (1 at first) to the wait before the next."""

_CAP = timedelta(hours=1)
_logger = logging.getLogger("waybill.worker")


def exponential_backoff(attempt: int) -> timedelta:
    """Between nothing and 2 s, 4 s, 8 s … up to an hour, at random ("full jitter"), so 1 s on average at first.

    The jitter keeps jobs that failed together from coming back as a herd.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(_CAP, timedelta(seconds=2.0 ** min(attempt, 12)))
    return ceiling * random.random()  # noqa: S311 - jitter, not a secret


def soon(attempt: int, longest: timedelta) -> timedelta:
    """The same for what cannot wait: between nothing and 0.2 s, 0.4 s, 0.8 s … up to *longest*, at random."""
    return min(longest, timedelta(seconds=0.1 * 2.0 ** min(attempt, 12))) * random.random()  # noqa: S311


Errors: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a job may run, and how long it waits in between.

    Args:
        max_attempts: runs in all, the first included.
        backoff: a duration, or a function from the failed run's number to a timedelta.
        dead: keep the job as a dead letter once it is given up; else drop it and log that.
        retry_on: only these errors are worth another run (none given: every one is).
        no_retry_on: these are not, whatever `retry_on` says.

    Raises:
        ValueError: max_attempts is below 1. TypeError: it is no whole number.
    """

    max_attempts: int = 25
    backoff: Duration | Backoff = exponential_backoff
    dead: bool = True
    retry_on: Errors = ()
    no_retry_on: Errors = ()

    def __post_init__(self) -> None:
        if isinstance(self.max_attempts, bool) or not isinstance(self.max_attempts, int):
            raise TypeError(f"max_attempts counts runs, such as 3; it cannot be {self.max_attempts!r}")
        if self.max_attempts < 1:
            raise ValueError(
                f"max_attempts counts runs, the first included, so it is at least 1, not {self.max_attempts}; "
                "retry=False runs once and drops the job on failure"
            )
        if not callable(self.backoff):
            object.__setattr__(self, "backoff", parse_duration(self.backoff, bare=False))
        for name in ("retry_on", "no_retry_on"):
            errors = getattr(self, name)
            listed = (errors,) if isinstance(errors, type) else tuple(errors)
            for each in listed:
                if not (isinstance(each, type) and issubclass(each, BaseException)):
                    raise TypeError(f"{name} lists exception classes, such as {name}=(OSError,), not {each!r}")
            object.__setattr__(self, name, listed)

    @classmethod
    def parse(cls, value: Retry | int) -> Retry:
        """`3` allows three runs; `False` runs once and drops on failure.

        Raises:
            TypeError: it is True, or nothing of the kind.
        """
        if isinstance(value, Retry):
            return value
        if value is False:
            return cls(max_attempts=1, dead=False)
        if value is True or not isinstance(value, int):
            raise TypeError(f"retry is a Retry, a number of runs such as 3, or False; it cannot be {value!r}")
        return cls(max_attempts=value)

    def permits(self, error: BaseException) -> bool:
        """Whether another run could help."""
        if isinstance(error, TransientJobError):
            return True
        if isinstance(error, (PermanentJobError, *self.no_retry_on)):  # type: ignore[misc]
            return False
        return not self.retry_on or isinstance(error, self.retry_on)

    def wait(self, attempt: int, error: BaseException | None = None) -> timedelta:
        """How long run number *attempt*, which failed, waits for its successor."""
        if isinstance(error, TransientJobError) and error.retry_after is not None:
            return error.retry_after
        if not callable(self.backoff):
            return parse_duration(self.backoff)
        try:
            return parse_duration(self.backoff(attempt), bare=False)
        except Exception:
            # The job's fate must not depend on a faulty function.
            _logger.exception("backoff=%r failed; the default backoff is used", self.backoff)
            return exponential_backoff(attempt)

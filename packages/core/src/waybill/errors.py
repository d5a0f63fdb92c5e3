"""Everything Waybill raises.

    WaybillError
      ConfigurationError
        DriverNotFoundError
        UnsupportedError
        DuplicateJobNameError
        InvalidScheduleError            (also ValueError)
      EnqueueError                      what every sending verb raises, whatever else it is
        InvalidJobPayloadError
        PayloadTooLargeError
        DuplicateJobError
        EnqueueRejectedError
        EnqueueUnknownError             the only one after which the job may have been stored
        EnqueueUnavailableError         (also BrokerUnavailableError)
        EnqueueClosedError              (also DriverClosedError)
        EnqueueConfigurationError       (also ConfigurationError)
          EnqueueUnsupportedError       (also UnsupportedError)
            DelayNotSupportedError
        EnqueueValueError               (also ValueError)
        UnknownQueueError
        InvalidQueueNameError
      BrokerUnavailableError
      LeaseLostError
      DriverClosedError
      JobError
        PermanentJobError
        TransientJobError
        RetryExhaustedError
        JobTimeoutError
        UnknownJobError

A message says what was asked, what the limit is, whether anything was stored and what to do next;
the values are attributes. A client library's error is the `__cause__`, never the type.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from .timing import Duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class WaybillError(Exception):
    """The root of the tree."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with the message, which most signatures here refuse.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[WaybillError], args: tuple[Any, ...], values: dict[str, Any]) -> WaybillError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(values)
    return error


# -- set-up ------------------------------------------------------------------------------------------


class ConfigurationError(WaybillError):
    """The program is set up in a way that cannot work; nothing was sent."""


class DriverNotFoundError(ConfigurationError):
    """No installed package serves this URL's scheme."""

    def __init__(self, scheme: str, installed: Sequence[str], package: str) -> None:
        self.scheme, self.installed, self.package = scheme, tuple(installed), package
        known = ", ".join(installed) or "none"
        super().__init__(f"no driver for '{scheme}://'; installed: {known}. Run: pip install {package}")


class UnsupportedError(ConfigurationError):
    """The broker cannot keep what was asked; nothing was sent."""

    def __init__(self, message: str, problems: Iterable[str] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(message)


class InvalidScheduleError(ConfigurationError, ValueError):
    """A schedule's parts are malformed or do not fit together."""


class DuplicateJobNameError(ConfigurationError):
    """Two different jobs were registered under one name."""

    def __init__(self, job_name: str) -> None:
        self.job_name = job_name
        super().__init__(
            f"two different jobs are named {job_name!r}. A worker finds a job by its name: "
            "give one of them another name=, or register it once."
        )


# -- sending -----------------------------------------------------------------------------------------


class EnqueueError(WaybillError):
    """A job was not accepted. Only an EnqueueUnknownError may have been stored."""


class InvalidJobPayloadError(EnqueueError):
    """The payload does not fit the job; `issues` says where and why."""

    def __init__(self, job_name: str, issues: Iterable[str]) -> None:
        self.job_name, self.issues = job_name, tuple(issues)
        super().__init__(f"{job_name}: the payload is refused: {'; '.join(self.issues)}")


class PayloadTooLargeError(EnqueueError):
    """The encoded job is larger than allowed; nothing was sent. `size` and `limit` are bytes."""

    def __init__(self, size: int, limit: int, job_name: str = "", whose: str = "max_payload_bytes") -> None:
        self.job_name, self.size, self.limit = job_name, size, limit
        super().__init__(
            f"{job_name or 'the job'}: {size:,} bytes encoded, and the limit is {limit:,} ({whose}). "
            "Nothing was sent. Store the data elsewhere and enqueue its address."
        )


class DuplicateJobError(EnqueueError):
    """A unique key is held by another job; nothing was sent."""

    def __init__(self, key: str, existing_job_id: str | None = None) -> None:
        self.key, self.existing_job_id = key, existing_job_id
        holder = f"job {existing_job_id}" if existing_job_id else "another job"
        super().__init__(f"the unique key {key!r} is held by {holder}. Nothing was sent.")


class EnqueueRejectedError(EnqueueError):
    """The broker answered and refused (full, forbidden, misconfigured); nothing was stored."""


class EnqueueUnknownError(EnqueueError):
    """The broker's answer never came: the job is stored, or it is not."""

    def __init__(self, job_id: str, detail: str = "the broker's confirmation never came") -> None:
        self.job_id = job_id
        super().__init__(
            f"job {job_id} is stored or not: {detail}. Where the driver remembers ids, "
            f"enqueueing it again with job_id={job_id!r} is safe."
        )


class BrokerUnavailableError(WaybillError):
    """The broker could not be reached, or went away, or did not answer in time."""


class EnqueueUnavailableError(EnqueueError, BrokerUnavailableError):
    """The broker could not be reached; nothing was sent."""


class LeaseLostError(WaybillError):
    """The delivery no longer belongs to its receiver; it was settled, or another worker has it."""


class DriverClosedError(WaybillError):
    """The driver was used after, or while, it was closed."""


class EnqueueClosedError(EnqueueError, DriverClosedError):
    """The service is closed; nothing was sent."""


class EnqueueConfigurationError(EnqueueError, ConfigurationError):
    """The service cannot send this as it is set up; nothing was sent."""


class EnqueueUnsupportedError(EnqueueConfigurationError, UnsupportedError):
    """The broker cannot keep what this job asks; nothing was sent."""

    def __init__(self, message: str, problems: Iterable[str] = ()) -> None:
        UnsupportedError.__init__(self, message, problems)


class DelayNotSupportedError(EnqueueUnsupportedError):
    """The delay is longer than the broker can keep; nothing was sent."""

    def __init__(self, job_name: str, delay: timedelta, limit: timedelta) -> None:
        self.job_name, self.delay, self.limit = job_name, delay, limit
        super().__init__(
            f"{job_name}: a delay of {delay}, and this broker keeps at most {limit}. Nothing was sent. "
            "Use a shorter delay, or a broker (or a scheduler option of this driver) that keeps longer ones."
        )


class EnqueueValueError(EnqueueError, ValueError):
    """A value given to a sending verb is refused; nothing was sent."""


class UnknownQueueError(EnqueueError):
    """The queue is not among the configured ones; nothing was sent."""

    def __init__(self, queue: str, known: Iterable[str]) -> None:
        self.queue, self.known = queue, tuple(known)
        super().__init__(
            f"queue {queue!r} is not configured; known queues: {', '.join(self.known) or 'none'}. "
            "Nothing was sent. Add it to queues=[...], or correct the name."
        )


class InvalidQueueNameError(EnqueueError):
    """The queue's name breaks the rule; nothing was sent."""

    def __init__(self, queue: object) -> None:
        self.queue = queue
        super().__init__(
            f"{queue!r} is no queue name: 1 to 64 letters, digits, '_', '.' or '-', the first a letter or "
            "digit, and not ending in '.dead'. Nothing was sent."
        )


def as_enqueue_error(error: Exception, job_id: str | None) -> EnqueueError:
    """What a sending verb raises in place of *error*, which becomes its cause; no *job_id*: nothing left yet."""
    if isinstance(error, EnqueueError):
        return error
    for kind, made in _ENQUEUE_ERRORS.items():
        if isinstance(error, kind):
            return made(str(error))
    if job_id is None:
        return EnqueueError(f"{type(error).__name__}: {error}. Nothing was sent.")
    # A driver that breaks in an unforeseen way may have stored the job before it did.
    return EnqueueUnknownError(job_id, f"the driver raised {type(error).__name__}: {error}")


_ENQUEUE_ERRORS: dict[type[Exception], type[EnqueueError]] = {
    BrokerUnavailableError: EnqueueUnavailableError,
    DriverClosedError: EnqueueClosedError,
    UnsupportedError: EnqueueUnsupportedError,
    ConfigurationError: EnqueueConfigurationError,
    ValueError: EnqueueValueError,
}


# -- running -----------------------------------------------------------------------------------------


class JobError(WaybillError):
    """What a handler raises to choose its job's fate, and what becomes of it."""


class PermanentJobError(JobError):
    """Raised by a handler: running again is useless, give the job up at once."""


class TransientJobError(JobError):
    """Raised by a handler: run again, after `retry_after` (seconds, "10m", timedelta) if given."""

    def __init__(self, message: str = "", retry_after: Duration | float | None = None) -> None:
        self.retry_after = None if retry_after is None else parse_duration(retry_after)
        super().__init__(message)


class RetryExhaustedError(JobError):
    """Every allowed run failed; the last failure is the `__cause__`."""

    def __init__(self, job_name: str, attempt: int, max_attempts: int) -> None:
        self.job_name, self.attempt, self.max_attempts = job_name, attempt, max_attempts
        super().__init__(f"{job_name}: attempt {attempt} of {max_attempts} failed")


class JobTimeoutError(JobError):
    """The handler ran longer than the job's timeout."""

    def __init__(self, job_name: str, timeout: timedelta) -> None:
        self.job_name, self.timeout = job_name, timeout
        super().__init__(f"{job_name}: still running after its timeout of {timeout}")


class UnknownJobError(JobError):
    """A message names a job this worker does not have."""

    def __init__(self, job_name: str) -> None:
        self.job_name = job_name
        super().__init__(
            f"no job named {job_name!r} is registered here. It is kept and tried again: "
            "deploy the worker that has it, or list the old name in aliases=."
        )


DeadCode = Literal["permanent", "exhausted", "invalid-payload", "unknown-job", "undecodable", "lease-expired"]


@dataclass(frozen=True, slots=True)
class DeadReason:
    """Why a message was given up. `error` is text; `at` is aware UTC."""

    code: DeadCode
    error: str
    attempt: int
    at: datetime

    def __str__(self) -> str:
        return f"{self.code}: {self.error}" if self.error else self.code

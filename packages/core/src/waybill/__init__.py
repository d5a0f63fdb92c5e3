"""Background jobs that do not care which broker carries them."""

from typing import TYPE_CHECKING, Any

from .commands import Command
from .driver import (
    Capabilities,
    DeadLetter,
    Delivery,
    Note,
    QueueDriver,
    QueueStats,
    UniqueClaim,
    claims,
)
from .drivers import open_driver
from .envelope import Message, Session, UniqueKey
from .errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DeadReason,
    DelayNotSupportedError,
    DriverClosedError,
    DriverNotFoundError,
    DuplicateJobError,
    DuplicateJobNameError,
    EnqueueClosedError,
    EnqueueConfigurationError,
    EnqueueError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    EnqueueUnknownError,
    EnqueueUnsupportedError,
    EnqueueValueError,
    InvalidJobPayloadError,
    InvalidQueueNameError,
    InvalidScheduleError,
    JobError,
    JobTimeoutError,
    LeaseLostError,
    PayloadTooLargeError,
    PermanentJobError,
    RetryExhaustedError,
    TransientJobError,
    UnknownJobError,
    UnknownQueueError,
    UnsupportedError,
    WaybillError,
)
from .hooks import JobExecution, hookimpl
from .jobs.context import JobContext
from .jobs.define import define_job, define_periodic_job, job
from .jobs.discovery import discover_jobs
from .jobs.job import Call, Job
from .jobs.late import Lazy, Ref
from .jobs.options import JobOptions, Unique
from .jobs.registry import JobModule, JobRegistry
from .progress import ShowProgress
from .resources import Resources
from .result import BatchResult, EnqueueFailure, EnqueueResult
from .retry import Retry
from .schedules.entry import ScheduleEntry
from .schedules.schedule import Schedule
from .sending.service import JobService
from .timing import from_epoch_ms

if TYPE_CHECKING:
    from .jobs.operations import define_operation
    from .running.worker import Worker


def __getattr__(name: str) -> Any:
    """A process that only sends does not pay for the running side."""
    if name == "Worker":
        from .running.worker import Worker

        return Worker
    if name == "define_operation":
        from .jobs.operations import define_operation

        return define_operation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BatchResult",
    "BrokerUnavailableError",
    "Call",
    "Capabilities",
    "Command",
    "ConfigurationError",
    "DeadLetter",
    "DeadReason",
    "DelayNotSupportedError",
    "Delivery",
    "DriverClosedError",
    "DriverNotFoundError",
    "DuplicateJobError",
    "DuplicateJobNameError",
    "EnqueueClosedError",
    "EnqueueConfigurationError",
    "EnqueueError",
    "EnqueueFailure",
    "EnqueueRejectedError",
    "EnqueueResult",
    "EnqueueUnavailableError",
    "EnqueueUnknownError",
    "EnqueueUnsupportedError",
    "EnqueueValueError",
    "InvalidJobPayloadError",
    "InvalidQueueNameError",
    "InvalidScheduleError",
    "Job",
    "JobContext",
    "JobError",
    "JobExecution",
    "JobModule",
    "JobOptions",
    "JobRegistry",
    "JobService",
    "JobTimeoutError",
    "Lazy",
    "LeaseLostError",
    "Message",
    "Note",
    "PayloadTooLargeError",
    "PermanentJobError",
    "QueueDriver",
    "QueueStats",
    "Ref",
    "Resources",
    "Retry",
    "RetryExhaustedError",
    "Schedule",
    "ScheduleEntry",
    "Session",
    "ShowProgress",
    "TransientJobError",
    "Unique",
    "UniqueClaim",
    "UniqueKey",
    "UnknownJobError",
    "UnknownQueueError",
    "UnsupportedError",
    "WaybillError",
    "Worker",
    "claims",
    "define_job",
    "define_operation",
    "define_periodic_job",
    "discover_jobs",
    "from_epoch_ms",
    "hookimpl",
    "job",
    "open_driver",
]

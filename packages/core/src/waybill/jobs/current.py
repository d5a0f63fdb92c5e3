"""Which service `job.dispatch()` means when none is named.

The running handler's; else the one of the innermost `with service.as_current()`; else the only live one
that registered the job.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..errors import EnqueueConfigurationError

if TYPE_CHECKING:
    from ..sending.service import JobService
    from .context import JobContext

current_service: ContextVar[JobService | None] = ContextVar("waybill_current_service", default=None)
current_context: ContextVar[JobContext | None] = ContextVar("waybill_current_context", default=None)
live_services: weakref.WeakSet[JobService] = weakref.WeakSet()


def parent_in(service: JobService) -> str | None:
    """The id of the job whose handler is running on that service."""
    context = current_context.get()
    return context.job_id if context is not None and context.service is service else None


def find_service(job: Any) -> JobService:
    """The service to send *job* through.

    Raises:
        EnqueueConfigurationError: none is known, or several are.
    """
    context = current_context.get()
    if context is not None:
        return context.service
    chosen = current_service.get()
    if chosen is not None:
        return chosen
    known = [each for each in list(live_services) if each.registry.has(job)]
    if len(known) == 1:
        return known[0]
    problem = f"{len(known)} live services have" if known else "no live service has"
    raise EnqueueConfigurationError(
        f"{problem} registered {job.name!r}, so dispatch() cannot choose one. "
        "Use `with service.as_current():`, or call service.enqueue(...)"
    )

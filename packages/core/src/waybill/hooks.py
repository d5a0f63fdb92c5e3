"""What plugins can hook into: every hook, when it fires, and what it may ask for by name.

A plugin is any object or module with functions of these names, marked `@hookimpl`; it is given to
`JobService(plugins=[...])` or published in the entry-point group `waybill.plugins`. Functions are sync (and must
not block) or async, and name only the parameters they want. Each is called and guarded singly: one that raises is
logged, stops no other and changes no job's fate.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from .jobs.context import JobContext
    from .result import EnqueueResult

hookspec: Final = pluggy.HookspecMarker("waybill")
hookimpl: Final = pluggy.HookimplMarker("waybill")
ENTRY_POINTS: Final = "waybill.plugins"


@dataclass(frozen=True, slots=True)
class JobExecution:
    """The job a hook is told about; for an undecodable or unknown message parts of it are None."""

    job_id: str
    job_name: str | None
    queue: str
    payload: Any
    attempt: int
    enqueued_at: datetime | None
    metadata: Mapping[str, Any]


class Specs:
    """The hooks. `context` is `ctx`, and `err` is `error`, by another name."""

    @hookspec
    def waybill_job_enqueued(self, job: JobExecution, payload: Any, result: EnqueueResult) -> object:
        """The broker has accepted a job; its `attempt` is 0."""

    @hookspec
    def waybill_job_start(self, job: JobExecution, ctx: JobContext, context: JobContext) -> object:
        """A handler is about to run."""

    @hookspec
    def waybill_job_complete(self, job: JobExecution, ctx: JobContext, context: JobContext, result: Any) -> object:
        """A handler returned; the ack follows."""

    @hookspec
    def waybill_job_failed(  # noqa: PLR0917 - a plugin names what it wants
        self,
        job: JobExecution,
        ctx: JobContext | None,
        context: JobContext | None,
        error: BaseException,
        err: BaseException,
        retry_in: timedelta | None,
    ) -> object:
        """An attempt failed; it runs again after `retry_in`, or never (None)."""

    @hookspec
    def waybill_job_dead_letter(
        self,
        job: JobExecution,
        ctx: JobContext | None,
        context: JobContext | None,
        error: BaseException,
        err: BaseException,
    ) -> object:
        """A message is given up, and is about to be kept as a dead letter."""

    @hookspec
    def waybill_around_job(
        self, job: JobExecution, ctx: JobContext, context: JobContext
    ) -> AbstractAsyncContextManager[object]:
        """An async context manager entered before the handler and left after it."""
        raise NotImplementedError

    @hookspec
    def waybill_worker_start(self, worker: Any) -> object:
        """A worker has connected and is about to receive."""

    @hookspec
    def waybill_worker_stop(self, worker: Any) -> object:
        """A worker has settled what it could and is about to disconnect."""

"""One delivery on its way through a worker."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..driver import Delivery
    from ..jobs.context import JobContext

Interruption = Literal["timeout", "lease-lost", "stop"]


class Run:
    """What the worker's parts know of one delivery: its lease, its handler, and why that was interrupted."""

    __slots__ = (
        "_task", "ctx", "delivery", "extending", "interruption", "is_async", "job_name", "settling", "thread",
    )  # fmt: skip

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        """The newest one: a renewed lease replaces it."""
        self.job_name: str | None = None
        self.ctx: JobContext | None = None
        self.is_async = False
        self.thread: int | None = None
        """Where a plain handler runs."""
        self.interruption: Interruption | None = None
        self.extending: Future[None] | None = None
        """Under way on the lease's thread: to be waited for before settling."""
        self.settling = False
        self._task: asyncio.Task[object] | None = None

    def begin(self, ctx: JobContext, *, is_async: bool) -> None:
        """The handler is about to be called on this task."""
        self.ctx, self.is_async = ctx, is_async
        self._task = asyncio.current_task()

    def end(self) -> None:
        """The handler has returned or raised."""
        self._task = None

    @property
    def in_handler(self) -> bool:
        return self._task is not None

    def belongs_to(self, task: asyncio.Task[object] | None) -> bool:
        return task is not None and task is self._task

    def in_thread(self) -> None:
        self.thread = threading.get_ident()

    def interrupt(self, why: Interruption) -> None:
        """Tell the handler to end.

        An async one is cancelled; a plain one can only look at its context, and is waited for unless the worker stops.
        """
        self.interruption = self.interruption or why
        if self.ctx is not None:
            self.ctx.cancelled.set()
            if why == "lease-lost":
                self.ctx.lease_lost.set()
        if self._task is not None and (self.is_async or why == "stop"):
            self._task.cancel()

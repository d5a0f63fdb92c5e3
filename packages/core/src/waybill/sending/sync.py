"""The sending verbs for blocking code: one background loop per process, on which every service has its own driver."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from typing_extensions import ParamSpec, Unpack

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..driver import DeadLetter, Page, QueueStats
    from ..jobs.job import Call, DispatchOptions, Job, SendOptions
    from ..result import BatchResult, EnqueueResult
    from ..schedules.entry import ScheduleEntry
    from ..timing import Duration, Moment
    from .preparing import CanDispatch, CanEnqueue, CanEnqueueAt, CanEnqueueIn
    from .service import JobService

P = TypeVar("P")
Q = ParamSpec("Q")
T = TypeVar("T")


class _Background:
    """An event loop on a daemon thread, for as long as somebody uses it."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.users = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._serve, name="waybill-sync", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


class _Shared:
    """The process's background loop, made anew after a fork, whose child has the loop but not its thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.background: _Background | None = None

    def enter(self, user: SyncService) -> _Background:
        """Count *user* in, once, whichever of its threads comes first."""
        with self.lock:
            if user.background is not None and user.background.process == os.getpid():
                return user.background
            if self.background is None or self.background.process != os.getpid():
                self.background = _Background()
            self.background.users += 1
            user.background = self.background
            return self.background

    def leave(self, background: _Background) -> None:
        with self.lock:
            background.users -= 1
            if background.users or background is not self.background:
                return
            self.background = None
        background.stop()


_shared = _Shared()
if hasattr(os, "register_at_fork"):
    # A thread that does not exist in the child may have held the lock.
    os.register_at_fork(after_in_child=lambda: setattr(_shared, "lock", threading.Lock()))


class SyncService:
    """`service.sync`: the verbs of JobService, blocking. Close it, or use it in a `with`, to disconnect.

    Every verb raises what its async namesake raises.
    """

    def __init__(self, service: JobService) -> None:
        self._service = service
        self.background: _Background | None = None

    def run(self, verb: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """Run one of the service's verbs on the background loop and wait for it."""
        future = self.submit(verb, *args, **kwargs)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C while waiting; nothing where the verb itself raised
            raise

    def submit(self, verb: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> Future[T]:
        """Begin one of the service's verbs on the background loop, with the caller's context variables."""
        background = self.background
        if background is None or background.process != os.getpid():
            background = _shared.enter(self)
        if threading.current_thread() is background.thread:
            raise ConfigurationError(
                "service.sync was called on its own background loop; await the service's verb instead"
            )
        return asyncio.run_coroutine_threadsafe(verb(*args, **kwargs), background.loop)

    @property
    def thread_id(self) -> int | None:
        """The background thread's, once there is one: `sys._current_frames()` shows what it does."""
        return None if self.background is None else self.background.thread.ident

    def open(self) -> Self:
        """Connect at once."""
        self.run(self._service.open)
        return self

    def close(self) -> None:
        """Disconnect; again changes nothing. A later verb connects again."""
        with _shared.lock:
            background, self.background = self.background, None
        if background is not None and background.process == os.getpid():
            asyncio.run_coroutine_threadsafe(self._service.disconnect(), background.loop).result()
            _shared.leave(background)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @overload
    def enqueue(self, job: Job[None, Any] | type[Job[None, Any]], **options: Unpack[SendOptions]) -> EnqueueResult: ...
    @overload
    def enqueue(self, job: str, payload: Any = ..., **options: Any) -> EnqueueResult: ...
    @overload
    def enqueue(self, job: CanEnqueue[Q], *args: Q.args, **kwargs: Q.kwargs) -> EnqueueResult: ...
    def enqueue(self, job: Any, *args: Any, **kwargs: Any) -> EnqueueResult:
        """Send one job."""
        return self.run(self._service.enqueue, job, *args, **kwargs)

    @overload
    def dispatch(
        self, job: Job[None, Any] | type[Job[None, Any]], **options: Unpack[DispatchOptions]
    ) -> EnqueueResult: ...
    @overload
    def dispatch(self, job: str, payload: Any = ..., **options: Any) -> EnqueueResult: ...
    @overload
    def dispatch(self, job: CanDispatch[Q], *args: Q.args, **kwargs: Q.kwargs) -> EnqueueResult: ...
    def dispatch(self, job: Any, *args: Any, **kwargs: Any) -> EnqueueResult:
        """Send one job, now or as a schedule says."""
        return self.run(self._service.dispatch, job, *args, **kwargs)

    def schedules(self) -> list[ScheduleEntry]:
        """Every schedule, the next to run first."""
        return self.run(self._service.schedules)

    def cancel_schedule(self, schedule_id: str) -> bool:
        """Remove a schedule."""
        return self.run(self._service.cancel_schedule, schedule_id)

    @overload
    def enqueue_in(self, job: str, payload: Any, delay: Duration | float, **options: Any) -> EnqueueResult: ...
    @overload
    def enqueue_in(self, job: CanEnqueueIn[Q], *args: Q.args, **kwargs: Q.kwargs) -> EnqueueResult: ...
    def enqueue_in(self, job: Any, *args: Any, **kwargs: Any) -> EnqueueResult:
        """Send one job to be run after a delay."""
        return self.run(self._service.enqueue_in, job, *args, **kwargs)

    @overload
    def enqueue_at(self, job: str, payload: Any, when: Moment, **options: Any) -> EnqueueResult: ...
    @overload
    def enqueue_at(self, job: CanEnqueueAt[Q], *args: Q.args, **kwargs: Q.kwargs) -> EnqueueResult: ...
    def enqueue_at(self, job: Any, *args: Any, **kwargs: Any) -> EnqueueResult:
        """Send one job to be run at a moment."""
        return self.run(self._service.enqueue_at, job, *args, **kwargs)

    def enqueue_batch(
        self, items: Iterable[Call | tuple[Any, Any]], on_progress: Callable[[int, int], object] | None = None
    ) -> BatchResult:
        """Send many jobs; `on_progress` is called on the background thread."""
        return self.run(self._service.enqueue_batch, items, on_progress)

    def enqueue_many(
        self,
        job: Job[P, Any] | type[Job[P, Any]] | str,
        payloads: Iterable[P],
        *,
        chunk_size: int = 100,
        on_progress: Callable[[int, int], object] | None = None,
        **options: Unpack[SendOptions],
    ) -> BatchResult:
        """Send one job for each of many payloads; `on_progress` is called on the background thread."""
        how: dict[str, Any] = {**options, "chunk_size": chunk_size, "on_progress": on_progress}
        return self.run(self._service.enqueue_many, job, payloads, **how)

    def run_now(self, job: Any, payload: Any = None) -> Any:
        """Run a job here and now, without a broker."""
        return self.run(self._service.run_now, job, payload)

    def cancel(self, job_id: str, queue: str | None = None) -> bool:
        """Take a waiting or delayed job back."""
        return self.run(self._service.cancel, job_id, queue)

    def check(self) -> None:
        """Hold every registered job against the broker's claims."""

        async def check() -> None:
            await self._service.check()

        self.run(check)

    def stats(self, queue: str) -> QueueStats:
        """How many jobs are ready, delayed, leased and dead."""
        return self.run(self._service.stats, queue)

    def dead_letters(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        """A page of what was given up."""
        return self.run(self._service.dead_letters, queue, after=after, limit=limit)

    def retry_dead(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Send dead letters back to their queues."""
        return self.run(self._service.retry_dead, queue, ids)

    def purge_dead(self, queue: str) -> int | None:
        """Delete a queue's dead letters."""
        return self.run(self._service.purge_dead, queue)

    def purge(self, queue: str, *, force: bool = False) -> int | None:
        """Delete what waits in a queue."""
        return self.run(self._service.purge, queue, force=force)

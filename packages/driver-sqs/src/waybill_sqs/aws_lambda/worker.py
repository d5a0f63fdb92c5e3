"""The handler of a Lambda function: made once for a container, and called with one event after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final, TypeVar

from waybill.errors import ConfigurationError, JobError
from waybill.running.prepare import Prepared, prepared
from waybill.sending.broker import Broker, Source
from waybill.sending.service import JobService
from waybill.timing import Duration, parse_duration

from ..driver import SqsDriver
from .batch import Batch, Task
from .by_answer import ByAnswer
from .by_receipt import ByReceipt
from .deadline import Deadline
from .direct import run_direct
from .event import Direct, read_event
from .settlement import Settlement

_logger: Final = logging.getLogger("waybill.lambda")
_FUNCTION: Final = "AWS_LAMBDA_FUNCTION_NAME"  # Lambda sets it
_ENQUEUE_TIMEOUT: Final = timedelta(seconds=10)
_LONGEST: Final = timedelta(minutes=15)  # that a function may run
_PATIENCE: Final = 2.0  # seconds

T = TypeVar("T")


def bootstrap_worker(
    service: JobService | Callable[[], JobService],
    driver: Source | None = None,
    *,
    concurrency: int = 100,
    threads: int | None = None,
    margin: Duration | None = None,
    **functions: Callable[..., Any] | None,
) -> LambdaWorker:
    """Make the handler of a Lambda function.

    Records of SQS are run side by side, those of a FIFO group one by one, and answered with
    `{"batchItemFailures": [...]}`, which names those to be handed out again: the function's event source mapping must
    have `ReportBatchItemFailures`, or SQS deletes them. An event `{"jobName": ..., "payload": ...}`, also under
    `detail`, runs that job, and is answered with `{"success": True}`.

    Args:
        service: whose jobs; or a function that makes it, called once.
        driver: through which records are settled and dead letters kept; the service's own by default.
        concurrency: how many records may run at a time.
        threads: how many of these may be plain functions; as many by default.
        margin: what is kept of the function's time to end and settle jobs; a fifth by default, at most 3 s.
        **functions: on_job_start, on_job_complete, ...: single hook functions, see `waybill.hooks`.

    Raises:
        ValueError, ConfigurationError: an argument is refused. Whatever the service's start may raise is raised by
            the first invocation, and tried again by the next.
    """
    worker = LambdaWorker(service, driver, concurrency, threads, margin, functions)
    if os.environ.get(_FUNCTION):
        worker.warm_up()
    return worker


class LambdaWorker:
    """What `bootstrap_worker` makes: call it with an event and Lambda's context."""

    def __init__(  # noqa: PLR0917 - made by one function
        self,
        service: JobService | Callable[[], JobService],
        driver: Source | None,
        concurrency: int,
        threads: int | None,
        margin: Duration | None,
        functions: Mapping[str, Callable[..., Any] | None],
    ) -> None:
        if concurrency < 1 or (threads is not None and threads < 1):
            raise ValueError("concurrency and threads are at least 1")
        self._concurrency, self._threads = concurrency, threads or concurrency
        self._margin = None if margin is None else parse_duration(margin, bare=False)
        self.__name__ = "lambda_handler"  # tracers that wrap a handler ask for it
        self._given, self._driver, self._functions = service, driver, functions
        self._service: JobService | None = None
        if not callable(service):
            self._service = self._checked(service)
        self._starting = asyncio.Lock()
        self._running: AsyncExitStack | None = None
        self._ready: Prepared | None = None
        self._brokers: Sequence[Broker] = ()
        self._tasks: set[Task] = set()
        """What goes on; a handler that heeds no cancellation outlives its event."""

    @property
    def service(self) -> JobService:
        """Whose jobs it runs; a function is asked for it once."""
        if self._service is None:
            assert callable(self._given)
            self._service = self._checked(self._given())
        return self._service

    def _checked(self, service: object) -> JobService:
        if not isinstance(service, JobService):
            raise ConfigurationError(
                f"a {type(service).__name__} is no JobService: pass one, or a function that makes one"
            )
        service.hooks.extended(self._functions)  # refuses unknown ones
        return service

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:
        """Handle one event.

        Raises:
            ConfigurationError: the event is none of those that this function handles, or the service cannot start.
            BrokerUnavailableError: the service cannot start now.
            Whatever a job raises that the event itself names.
        """
        deadline = Deadline.of(context, self._margin)
        read = read_event(event, context)
        if isinstance(read, Direct):
            outcome = self._in_time(deadline, self._handle_direct, read, deadline)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        batch = Batch(read, deadline)
        if read:
            try:
                self._in_time(deadline, self._handle_batch, batch, deadline)
            except _TimeOverError as error:
                _logger.error("%s", error)  # noqa: TRY400 - where it was raised says nothing
        return batch.answer()

    def warm_up(self) -> None:
        """Connect and make what handlers use before the first event; what fails is tried again with that one."""
        try:
            self.service.sync.run(self._start)
        except Exception as error:
            _logger.warning("the worker could not be made ready ahead of its first event: %s", error)

    def close(self) -> None:
        """Disconnect and let go of everything, for tests; a function is never closed. The next event starts it anew."""
        if self._service is not None:
            self._service.sync.run(self._stop)
            self._service.sync.close()

    # -- on the background loop, which outlives an event ------------------------------------------------

    async def _handle_direct(self, direct: Direct, deadline: Deadline) -> dict[str, Any] | Exception:
        try:
            ready = await self._start()
            return await run_direct(direct, ready, await self._brokers[0].connect(), deadline, self._spawn)
        except Exception as error:
            return error  # as it is: a future would make another one of a TimeoutError, without its traceback

    async def _handle_batch(self, batch: Batch, deadline: Deadline) -> None:
        ready = await self._start()
        await batch.run(ready, await self._settlement(deadline), self._concurrency, self._spawn)

    async def _settlement(self, deadline: Deadline) -> Settlement:
        connections = [await each.connect() for each in self._brokers]
        left = deadline.until(deadline.settled)
        held = _LONGEST if left is None else timedelta(seconds=left)
        for each in connections:
            if isinstance(each.driver, SqsDriver):
                return ByReceipt(each, each.driver, held, ByAnswer(self.service, each))
        return ByAnswer(self.service, connections[0])

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Task:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _start(self) -> Prepared:
        async with self._starting:
            if self._ready is None:
                service = self.service
                async with AsyncExitStack() as stack:
                    ready = await stack.enter_async_context(prepared(service, (), self._functions, self._threads))
                    self._brokers = (service.broker, *service.brokers.values())
                    if self._driver is not None:
                        own = Broker(self._driver, service.clock, _ENQUEUE_TIMEOUT)
                        await own.connect()
                        stack.push_async_callback(own.close, for_good=False)
                        self._brokers = (own,)
                    await ready.hooks.fire("worker_start", worker=self)
                    stack.push_async_callback(ready.hooks.fire, "worker_stop", worker=self)
                    self._running, self._ready = stack.pop_all(), ready
            return self._ready

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE)
        running, self._running, self._ready = self._running, None, None
        if running is not None:
            await running.aclose()

    # -- on the caller's thread --------------------------------------------------------------------------

    def _in_time(self, deadline: Deadline, verb: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """What a verb comes to on the background loop.

        Raises:
            JobError: the time was over, and nobody on that loop has seen it.
        """
        patience = deadline.until(deadline.answer)
        if patience == 0:
            raise _TimeOverError("the function had no time left, so nothing was begun")
        future = self.service.sync.submit(verb, *args)
        try:
            with contextlib.suppress(TimeoutError):
                future.exception(patience)
        except BaseException:  # such as Ctrl-C, in a test
            future.cancel()
            raise
        if future.done():
            return future.result()
        future.cancel()
        if self._ready is None:
            raise _TimeOverError("the function's time was over before the worker had started")
        frame = sys._current_frames().get(self.service.sync.thread_id or 0)
        where = "" if frame is None else f" It is at:\n{''.join(traceback.format_stack(frame))}"
        raise _TimeOverError(
            "the function's time was over, and something blocks its event loop: make that handler a plain function, "
            f"which runs in a thread, or await.{where}"
        )


class _TimeOverError(JobError):
    """Lambda must be answered now."""

"""The sending side: `JobService` checks, encodes and enqueues."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from typing_extensions import ParamSpec, Unpack

from ..config import load_config
from ..driver import DeadLetter, KeepsState, Page, QueueDriver, QueueStats
from ..errors import ConfigurationError, DuplicateJobError, EnqueueError, EnqueueValueError, as_enqueue_error
from ..hooks import JobExecution
from ..jobs.current import current_service, live_services
from ..jobs.job import At, Call, DispatchOptions, Job, SendOptions
from ..jobs.late import Lookup
from ..jobs.registry import AnyJob, JobModule, JobRegistry
from ..plugins import Hooks
from ..queues import checked_queue_name
from ..result import BatchResult, EnqueueResult
from ..retry import Retry
from ..schedules.entry import ScheduleEntry
from ..schedules.schedule import Schedule
from ..timing import Clock, Duration, Moment, SystemClock, parse_duration
from .batch import send_batch
from .books import Books
from .broker import Broker, Source, driver_object
from .checks import check_jobs
from .connection import Connection
from .inline import run_inline
from .many import send_many
from .operator import Operator
from .preparing import CanDispatch, CanEnqueue, CanEnqueueAt, CanEnqueueIn, Prepared, Rules
from .sync import SyncService

if TYPE_CHECKING:
    from .operations import Operations

MAX_PAYLOAD_BYTES = 262_144

P = TypeVar("P")
Q = ParamSpec("Q")


class JobService:
    """Sends jobs to a broker.

    Args:
        driver: a URL, a factory, a driver, or None for what `WAYBILL_URL`, `waybill.toml` or `[tool.waybill]` says.
        jobs: jobs, Job classes and JobModules it knows; any other Job is registered when it is first sent.
        queues: the only queues that may be used; None: any.
        default_queue: for jobs that name none.
        retry: for jobs that set none; 25 runs with exponential backoff.
        services: what handlers find as `ctx.services`: any object; a function (sync or async, also returning a
            context manager) that a worker calls once at its start; `Resources`, or {type: function}, for
            `ctx.resource(type)`.
        plugins: objects with `@hookimpl` functions; those of the entry-point group `waybill.plugins` are added.
        max_payload_bytes: of encoded JSON, 256 KiB by default.
        enqueue_timeout: how long, from its first try, an enqueue with an unknown outcome is repeated.
        namespace: keeps applications apart on one broker.
        drivers: queues that live on a broker of their own, {queue: URL, driver or factory}.
        schedules: where schedules are kept, a URL, driver or factory; by default each broker keeps those of its queues.
        references: what `Ref("name.…")` in payloads means: {name: function of the JobContext}.
        clock: the driver's own by default.
        on_enqueued, on_job_start, ...: single hook functions, see `waybill.hooks`.

    Raises:
        ConfigurationError: the arguments do not fit together, or no broker is configured.
    """

    def __init__(
        self,
        driver: Source | None = None,
        *,
        jobs: Iterable[AnyJob | type[AnyJob] | JobModule] = (),
        queues: Sequence[str] | None = None,
        default_queue: str | None = None,
        retry: Retry | int | None = None,
        services: Any = None,
        plugins: Iterable[object] = (),
        max_payload_bytes: int | None = None,
        enqueue_timeout: Duration = "30s",
        namespace: str | None = None,
        drivers: Mapping[str, Source] | None = None,
        schedules: Source | None = None,
        references: Mapping[str, Lookup] | None = None,
        clock: Clock | None = None,
        **functions: Callable[..., Any] | None,
    ) -> None:
        config = load_config(files=driver is None)
        source = config.url if driver is None else driver
        if source is None:
            raise ConfigurationError(
                "no broker is configured: pass a URL such as JobService('sqlite:///jobs.db'), set WAYBILL_URL, "
                'or write url = "sqlite:///jobs.db" into waybill.toml or [tool.waybill]'
            )
        queues = config.queues if queues is None else queues
        queues = (queues,) if isinstance(queues, str) else queues
        self.queues = None if queues is None else tuple(checked_queue_name(each) for each in queues)
        default = checked_queue_name(default_queue or config.default_queue or "default")
        self.registry = JobRegistry(default, Retry() if retry is None else Retry.parse(retry))
        self.registry.include(jobs)
        self.services = services
        self.references = dict(references or {})
        self.hooks = Hooks(tuple(plugins), functions)
        self.clock: Clock = clock or getattr(driver_object(source), "clock", None) or SystemClock()
        self.namespace = None if namespace is None else checked_queue_name(namespace)
        self._enqueue_timeout = parse_duration(enqueue_timeout, bare=False)
        self._asked_payload_bytes = max_payload_bytes
        self.rules = Rules(
            self.registry, self.queues, max_payload_bytes or MAX_PAYLOAD_BYTES, self.namespace, self.clock
        )
        self.broker = self._broker(source)
        self.brokers = {checked_queue_name(queue): self._broker(each) for queue, each in (drivers or {}).items()}
        self.books = Books(self, None if schedules is None else self._broker(schedules))
        live_services.add(self)

    def _broker(self, source: Source) -> Broker:
        return Broker(source, self.clock, self._enqueue_timeout)

    def broker_of(self, queue: str) -> Broker:
        """Where a queue lives."""
        return self.brokers.get(queue, self.broker)

    # -- opening and closing ---------------------------------------------------------------------------

    async def open(self) -> Self:
        """Connect at once; again changes nothing.

        Raises:
            ConfigurationError, BrokerUnavailableError: what is wrong, and what to do.
        """
        await self._load_plugins()
        try:
            for broker in self._all_brokers():
                await broker.connect(reopen=True)
        except BaseException:
            await self.disconnect()
            raise
        live_services.add(self)
        return self

    async def close(self) -> None:
        """Finish what is under way and disconnect this loop's side; again changes nothing."""
        live_services.discard(self)
        for broker in self._all_brokers():
            await broker.close(for_good=True)

    async def disconnect(self) -> None:
        """Close this loop's connections; the next verb opens them again."""
        for broker in self._all_brokers():
            await broker.close(for_good=False)

    def _all_brokers(self) -> list[Broker]:
        store = self.books.store
        return [self.broker, *self.brokers.values(), *([] if store is None else [store])]

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @cached_property
    def sync(self) -> SyncService:
        """The same verbs for blocking code, from any thread, also inside a running loop and after a fork."""
        return SyncService(self)

    @cached_property
    def ops(self) -> Operations:
        """The operation namespaces: `service.ops.notifications.dispatch({...})`."""
        from .operations import Operations

        return Operations(self)

    @contextlib.contextmanager
    def as_current(self) -> Iterator[Self]:
        """Make `job.dispatch()` use this service."""
        token = current_service.set(self)
        try:
            yield self
        finally:
            current_service.reset(token)

    # -- sending ---------------------------------------------------------------------------------------

    @overload
    async def enqueue(
        self, job: Job[None, Any] | type[Job[None, Any]], **options: Unpack[SendOptions]
    ) -> EnqueueResult: ...
    @overload
    async def enqueue(self, job: str, payload: Any = ..., **options: Any) -> EnqueueResult: ...
    @overload
    async def enqueue(self, job: CanEnqueue[Q], *args: Q.args, **kwargs: Q.kwargs) -> EnqueueResult: ...
    async def enqueue(self, job: Any, payload: Any = None, **options: Any) -> EnqueueResult:  # type: ignore[misc]  # a ParamSpec may be anything
        """Send one job, now or after the job's own delay.

        Raises:
            EnqueueError: it was not accepted; nothing was stored, unless it is an EnqueueUnknownError.
        """
        return await self.send(Call(job, payload), **options)

    @overload
    async def enqueue_in(self, job: str, payload: Any, delay: Duration | float, **options: Any) -> EnqueueResult: ...
    @overload
    async def enqueue_in(self, job: CanEnqueueIn[Q], *args: Q.args, **kwargs: Q.kwargs) -> EnqueueResult: ...
    async def enqueue_in(self, job: Any, payload: Any, delay: Any, **options: Any) -> EnqueueResult:  # type: ignore[misc]  # a ParamSpec may be anything
        """Send one job to be run after *delay*; a bare number is seconds.

        Raises:
            EnqueueError: it was not accepted.
        """
        if delay is None:
            raise EnqueueValueError("enqueue_in() needs a delay, such as '10m'; enqueue() uses the job's own")
        return await self.send(Call(job, payload, delay), **options)

    @overload
    async def enqueue_at(self, job: str, payload: Any, when: Moment, **options: Any) -> EnqueueResult: ...
    @overload
    async def enqueue_at(self, job: CanEnqueueAt[Q], *args: Q.args, **kwargs: Q.kwargs) -> EnqueueResult: ...
    async def enqueue_at(self, job: Any, payload: Any, when: Any, **options: Any) -> EnqueueResult:  # type: ignore[misc]  # a ParamSpec may be anything
        """Send one job to be run at a moment (aware datetime or ISO 8601 text); one in the past runs now.

        Raises:
            EnqueueError: it was not accepted.
        """
        return await self.send(Call(job, payload, At(when)), **options)

    @overload
    async def dispatch(
        self, job: Job[None, Any] | type[Job[None, Any]], **options: Unpack[DispatchOptions]
    ) -> EnqueueResult: ...
    @overload
    async def dispatch(self, job: str, payload: Any = ..., **options: Any) -> EnqueueResult: ...
    @overload
    async def dispatch(self, job: CanDispatch[Q], *args: Q.args, **kwargs: Q.kwargs) -> EnqueueResult: ...
    async def dispatch(  # type: ignore[misc]  # a ParamSpec may be anything
        self,
        job: Any,
        payload: Any = None,
        *,
        schedule: Schedule | None = None,
        schedule_id: str | None = None,
        **options: Any,
    ) -> EnqueueResult:
        """Send one job, now or as a schedule says.

        Args:
            job: as for `enqueue`.
            payload: as for `enqueue`.
            schedule: when; None: now, or after the job's own delay.
            schedule_id: the same id again replaces the schedule. By default a digest of job, queue, payload and
                schedule, so that an identical dispatch changes nothing.
            options: as for `enqueue`.

        Raises:
            EnqueueError: it was not accepted; nothing was stored, unless it is an EnqueueUnknownError.
        """
        call = Call(job, payload)
        if schedule is not None:
            from .recurring import dispatch_on_schedule

            return await dispatch_on_schedule(self, call, schedule, schedule_id, options)
        if schedule_id is not None:
            raise EnqueueValueError("schedule_id= names a schedule: give schedule= too. Nothing was sent.")
        return await self.send(call, **options)

    async def enqueue_batch(
        self,
        items: Iterable[Call | tuple[Any, Any]],
        on_progress: Callable[[int, int], object] | None = None,
    ) -> BatchResult:
        """Send many jobs in as few round trips as the broker allows.

        Everything is checked before anything is sent. Items are `job.call(payload, delay=...)` or (job, payload).
        `on_progress(done, total)` is told after each round trip.

        Raises:
            EnqueueError: an item is refused by the checks (its place is in a note); nothing was sent.
        """
        return await send_batch(self, items, on_progress)

    async def enqueue_many(
        self,
        job: Job[P, Any] | type[Job[P, Any]] | str,
        payloads: Iterable[P],
        *,
        chunk_size: int = 100,
        on_progress: Callable[[int, int], object] | None = None,
        **options: Unpack[SendOptions],
    ) -> BatchResult:
        """Send one job for each of many payloads, chunk by chunk.

        Args:
            job: as for `enqueue`.
            payloads: one for each job.
            chunk_size: how many are checked and sent together.
            on_progress: told (done, total) after each chunk; `ShowProgress()` prints it.
            options: for each of them, as for `enqueue`.

        Raises:
            EnqueueError: a payload is refused by the checks; the chunks before were sent.
        """
        return await send_many(self, job, payloads, options, chunk_size=chunk_size, on_progress=on_progress)

    async def send(self, call: Call, **options: Any) -> EnqueueResult:
        """Send one Call; the other verbs come here."""
        try:
            prepared = self.rules.prepare(call.job, call.payload, call.due, **{**(call.options or {}), **options})
            broker = self.broker_of(prepared.queue) if self.brokers else self.broker
            connection = broker.connected or await self.connect(broker)
            message = connection.fit(prepared.message, prepared.due, prepared.job_name)
        except (EnqueueError, TypeError, AttributeError, AssertionError):  # the last three: a mistake in the call
            raise
        except Exception as error:
            raise as_enqueue_error(error, None) from error
        try:
            result = prepared.accepted(await connection.send(message, prepared.due))
        except DuplicateJobError as error:
            return prepared.duplicate(error)
        if self.hooks.wants("job_enqueued"):
            await self.announce(prepared, result)
        return result

    async def connect(self, broker: Broker) -> Connection:
        """This loop's connection to *broker*, opened by the first verb that needs it."""
        connection = broker.connected
        if connection is None:
            await self._load_plugins()
            connection = await broker.connect()
        return connection

    async def announce(self, prepared: Prepared, result: EnqueueResult) -> None:
        """Tell the hooks of an accepted job."""
        job = JobExecution(
            result.job_id,
            prepared.job_name,
            prepared.queue,
            prepared.payload,
            0,
            prepared.enqueued_at,
            prepared.metadata or {},
        )
        await self.hooks.fire("job_enqueued", job=job, payload=prepared.payload, result=result)

    async def run_now(self, job: Any, payload: Any = None) -> Any:
        """Run a job here and now, validated, without a broker; returns what the handler returns.

        Raises:
            InvalidJobPayloadError: the payload is refused. Whatever the handler raises.
        """
        return await run_inline(self, job, payload)

    # -- schedules -------------------------------------------------------------------------------------

    async def schedules(self) -> list[ScheduleEntry]:
        """Every schedule, the next to run first, the finished ones last.

        Raises:
            UnsupportedError: there is no place where schedules could be.
        """
        from .recurring import list_schedules

        return await list_schedules(self)

    async def cancel_schedule(self, schedule_id: str) -> bool:
        """Remove a schedule: True, if it would have fired again. A job that it has sent already stays.

        Raises:
            UnsupportedError: there is no place where schedules could be.
        """
        from .recurring import cancel_schedule

        return await cancel_schedule(self, schedule_id)

    # -- looking and operating; each asks the broker of the queue ----------------------------------------

    def check(self) -> Awaitable[None]:
        """Hold every registered job against the broker's claims; a worker and `waybill doctor` do so at their start.

        It raises at once where the claims are known without connecting, else when it is awaited.

        Raises:
            UnsupportedError: lists every mismatch and the setting that cures it.
        """
        known = {broker: broker.known_driver() for broker in (self.broker, *self.brokers.values())}
        if all(each is not None for each in known.values()):
            for broker, driver in known.items():
                assert driver is not None
                self._check(broker, driver)
            return _Done()
        return self._connect_and_check()

    async def _connect_and_check(self) -> None:
        for broker in (self.broker, *self.brokers.values()):
            self._check(broker, (await broker.connect()).driver)

    def _check(self, broker: Broker, driver: QueueDriver) -> None:
        jobs = [each for each in self.registry if self.broker_of(each.queue) is broker]
        recurs = self.books.store is not None or isinstance(driver, KeepsState)
        check_jobs(jobs, driver.capabilities, self.queues, self._asked_payload_bytes, recurs=recurs)

    async def operator(self, queue: str | None = None) -> Operator:
        """The verbs of an operator on the broker of *queue*, which raise UnsupportedError where it has none."""
        broker = self.broker if queue is None else self.broker_of(queue)
        return Operator(await self.connect(broker), self.rules.address)

    async def cancel(self, job_id: str, queue: str | None = None) -> bool:
        """Take a waiting or delayed job back; True: it will never start. Without *queue*, search them all."""
        searched: list[str] = []
        for each in self.known_queues() if queue is None else [queue]:
            searched.append(each)
            if await (await self.operator(each)).cancel(each, job_id):
                return True
        return queue is None and await self._cancel_elsewhere(job_id, searched)

    async def _cancel_elsewhere(self, job_id: str, searched: Sequence[str]) -> bool:
        """A queue may have been named by an enqueue alone: ask the brokers that list theirs."""
        for broker in (self.broker, *self.brokers.values()):
            operator = Operator(await self.connect(broker), self.rules.address)
            for each in await operator.queues() if operator.lists_queues else ():
                if each not in searched and self.broker_of(each) is broker and await operator.cancel(each, job_id):
                    return True
        return False

    def known_queues(self) -> list[str]:
        """The configured queues, then those of the registered jobs; where none are configured, the default one too."""
        others = [each.queue for each in self.registry]
        if self.queues is None:
            others.append(self.registry.queue)
        return list(dict.fromkeys([*(self.queues or ()), *others]))

    async def stats(self, queue: str) -> QueueStats:
        """How many jobs are ready, delayed, leased and dead."""
        return await (await self.operator(queue)).stats(queue)

    async def dead_letters(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        """A page of what was given up."""
        return await (await self.operator(queue)).dead_letters(queue, after=after, limit=limit)

    async def retry_dead(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Send dead letters (all, or these job ids) back to their queues; their number."""
        return await (await self.operator(queue)).retry_dead(queue, ids)

    async def purge_dead(self, queue: str) -> int | None:
        """Delete a queue's dead letters."""
        return await (await self.operator(queue)).purge_dead(queue)

    async def purge(self, queue: str, *, force: bool = False) -> int | None:
        """Delete what waits in a queue; running jobs and dead letters stay."""
        return await (await self.operator(queue)).purge(queue, force=force)

    # -- set-up ----------------------------------------------------------------------------------------

    _plugins_loaded = False

    async def _load_plugins(self) -> None:
        if not self._plugins_loaded:
            await self.hooks.load_entry_points()
            self._plugins_loaded = True

    @property
    def driver(self) -> QueueDriver | Source:
        """What the service was given."""
        return self.broker.source

    def swap_driver(self, driver: Source) -> Source:
        """Use another broker from now on, and its clock; returns the one before (for tests)."""
        before = self.broker.source
        self.clock = getattr(driver_object(driver), "clock", None) or SystemClock()
        self.rules = Rules(self.registry, self.queues, self.rules.max_payload_bytes, self.namespace, self.clock)
        self.broker = self._broker(driver)
        self.books = Books(self, self.books.store)
        return before

    def __repr__(self) -> str:
        return f"JobService({str(self.broker)!r}, {len(list(self.registry))} jobs)"


class _Done:
    """An awaitable that has nothing left to do."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield

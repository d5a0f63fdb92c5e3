"""The running side: a `Worker` receives jobs, runs them and tells the broker what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal as signals_module
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Self, cast

from ..errors import ConfigurationError
from ..jobs.context import Flag
from ..schedules.ticker import Ticker
from ..sending.broker import Broker
from ..sending.service import JobService
from ..timing import ZERO, Duration, parse_duration
from .execute import Executor
from .lane import Lane
from .leases import Leases
from .prepare import prepared
from .recycling import Recycling
from .ticking import tickers_of
from .watchdog import Watchdog

_logger: Final = logging.getLogger("waybill.worker")
_CANCELLATION_SECONDS: Final = 2.0  # for a cancelled handler to clean up


class Worker:
    """Runs the jobs of a service.

    Args:
        service: whose jobs and broker.
        queues: which to receive from, the most urgent first; by default the configured ones and those of the jobs.
        concurrency: how many jobs may run at a time.
        threads: how many of these may be plain functions; as many by default.
        grace: how long running jobs may go on once the worker stops.
        max_jobs, max_memory: stop by itself after so many jobs, or at so many resident bytes.
        schedules: whether it also fires the schedules, beside every other worker that does.
        on_job_start, on_job_complete, ...: single hook functions, see `waybill.hooks`.
    """

    def __init__(
        self,
        service: JobService,
        queues: Sequence[str] | None = None,
        concurrency: int = 100,
        threads: int | None = None,
        grace: Duration = "30s",
        *,
        max_jobs: int | None = None,
        max_memory: int | None = None,
        schedules: bool = True,
        **functions: Callable[..., Any] | None,
    ) -> None:
        if concurrency < 1 or (threads is not None and threads < 1):
            raise ValueError("concurrency and threads are at least 1")
        self.service = service
        queues = [queues] if isinstance(queues, str) else queues
        self.queues = [service.rules.checked_queue(each) for each in queues] if queues else service.known_queues()
        self.concurrency = concurrency
        self.threads = threads or concurrency
        self.grace = parse_duration(grace, bare=False)
        self._recycling = Recycling(max_jobs, max_memory)
        self._functions = functions
        self.hooks = service.hooks
        self.stopping = Flag()
        self._lanes: list[Lane] = []
        self._fires = schedules
        self._tickers: list[Ticker] = []
        self._feeds: list[asyncio.Task[None]] = []
        self._running: AsyncExitStack | None = None
        self._executor: Executor | None = None
        self._shutdown: asyncio.Task[None] | None = None
        self._grace_over = asyncio.Event()

    # -- running ---------------------------------------------------------------------------------------

    async def run(self, *, signals: bool = False) -> None:
        """Work until stopped, cancelled or recycled.

        Args:
            signals: stop on SIGTERM and SIGINT; a second one cuts the grace short.

        Raises:
            ConfigurationError, BrokerUnavailableError: it could not start, or not go on.
        """
        await self.start()
        try:
            with self._stopping_on_signals() if signals else contextlib.nullcontext():
                feeds = self._feed()
                done, _ = await asyncio.wait(feeds, return_when=asyncio.FIRST_COMPLETED)
                await self.stop()
        finally:
            await self.stop()
        for each in done:
            if not each.cancelled():
                each.result()

    async def __aenter__(self) -> Self:
        """Work beside the caller, as in a web application's lifespan; signals are not touched."""
        await self.start()
        self._feed()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def run_until_idle(self) -> int:
        """Run all that is due now and what that sends in turn; how many runs were begun."""
        await self.start()
        try:
            before, begun = -1, 0
            while before != begun:  # one broker's jobs may have sent to another's
                before = begun
                for ticker in self._tickers:
                    await ticker.fire_due()
                for lane in self._lanes:
                    await lane.drain()
                begun = self._begun()
            return begun
        finally:
            await self.stop()

    def _feed(self) -> list[asyncio.Task[None]]:
        self._feeds = [asyncio.create_task(lane.feed(self._has_had_enough)) for lane in self._lanes]
        self._feeds += [asyncio.create_task(ticker.run(), name="waybill-schedules") for ticker in self._tickers]
        return self._feeds

    def _begun(self) -> int:
        return 0 if self._executor is None else self._executor.started

    def _has_had_enough(self) -> bool:
        why = self._recycling.due(sum(lane.accepted for lane in self._lanes))
        if why is not None:
            _logger.info("worker stops to be replaced by a fresh one: %s", why)
        return why is not None

    # -- starting --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, check the jobs against the broker, and prepare; nothing is received yet.

        Raises:
            ConfigurationError, BrokerUnavailableError: what is wrong, and what to do.
        """
        if self._running is not None:
            raise ConfigurationError("this worker is running already; make another Worker for another loop")
        self._refuse_declarations()
        service = self.service
        async with AsyncExitStack() as stack:
            by_broker = self._by_broker()
            ready = await stack.enter_async_context(prepared(service, by_broker, self._functions, self.threads))
            self.stopping, self.hooks = Flag(), ready.hooks
            self._executor = ready.executor(self.stopping)
            slots = max(1, self.concurrency // len(by_broker))
            lanes: list[Lane] = []
            for broker, queues in by_broker.items():
                connection = await broker.connect()
                lane = Lane(connection, [service.rules.address(each) for each in queues], slots, self._executor)
                leases = Leases(connection, lane.held)
                await leases.start()
                stack.push_async_callback(leases.stop)
                lanes.append(lane)
            self._lanes = lanes
            self._tickers = [
                await stack.enter_async_context(each) for each in (await tickers_of(service) if self._fires else ())
            ]
            watchdog = Watchdog(lambda: [run for lane in lanes for run in lane.held()])
            stack.push_async_callback(asyncio.to_thread, watchdog.stop)
            await self.hooks.fire("worker_start", worker=self)
            stack.push_async_callback(self.hooks.fire, "worker_stop", worker=self)
            self._running = stack.pop_all()
        _logger.info("worker ready: queues %s, %d slots", ", ".join(self.queues), self.concurrency)

    def _refuse_declarations(self) -> None:
        unhandled = [
            each.job.name for each in self.service.registry if each.job.handler is None and each.queue in self.queues
        ]
        if unhandled:
            raise ConfigurationError(
                f"{', '.join(unhandled)}: declared without a handler, so no worker can run it. "
                "Give the worker's service the definition with the handler, or leave its queue out of queues="
            )

    def _by_broker(self) -> dict[Broker, list[str]]:
        lanes: dict[Broker, list[str]] = {}
        for queue in self.queues:
            lanes.setdefault(self.service.broker_of(queue), []).append(queue)
        return lanes

    # -- stopping --------------------------------------------------------------------------------------

    async def stop(self, grace: Duration | None = None) -> None:
        """Receive nothing more, let running jobs finish within the grace, give the rest back, disconnect.

        Called again meanwhile, it waits for the same end; with a shorter grace it brings that end forward.
        """
        patience = self.grace if grace is None else parse_duration(grace, bare=False)
        if self._running is not None and self._shutdown is None:
            self._grace_over = asyncio.Event()
            self._shutdown = asyncio.create_task(self._shut_down(), name="waybill-shutdown")
        if self._shutdown is None:
            return
        timer = self.service.clock.call_later(patience, self._grace_over.set)
        try:
            await asyncio.shield(self._shutdown)
        finally:
            timer.cancel()

    async def _shut_down(self) -> None:
        running, self._running = self._running, None
        assert running is not None
        async with running:
            self.stopping.set()
            for feed in self._feeds:
                feed.cancel()
            await asyncio.gather(*self._feeds, return_exceptions=True)
            for lane in self._lanes:
                await lane.give_back_waiting()
            await self._idle_or(self._grace_over.wait())
            for lane in self._lanes:
                lane.interrupt()
            await self._idle_or(asyncio.sleep(_CANCELLATION_SECONDS))
            for lane in self._lanes:
                await lane.abandon()
        self._lanes, self._tickers, self._feeds, self._shutdown = [], [], [], None
        _logger.info("worker stopped")

    async def _idle_or(self, enough: Coroutine[Any, Any, object]) -> None:
        """Wait until every lane is idle, or until *enough* ends."""
        idle = asyncio.ensure_future(asyncio.gather(*(lane.idle() for lane in self._lanes)))
        limit = asyncio.ensure_future(enough)
        await asyncio.wait(cast("list[asyncio.Future[Any]]", [idle, limit]), return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        limit.cancel()
        await asyncio.gather(idle, limit, return_exceptions=True)

    @contextlib.contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        stops: set[asyncio.Task[None]] = set()

        def stop() -> None:
            again = bool(stops)
            _logger.info("stopping%s", " at once" if again else f", with a grace of {self.grace}")
            stops.add(loop.create_task(self.stop(ZERO if again else None)))

        for each in (signals_module.SIGTERM, signals_module.SIGINT):
            loop.add_signal_handler(each, stop)
        try:
            yield
        finally:
            for each in (signals_module.SIGTERM, signals_module.SIGINT):
                loop.remove_signal_handler(each)

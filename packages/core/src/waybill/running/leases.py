"""Renewing the leases of running jobs before they end.

Where the driver can be cloned this happens on a thread and loop of its own, so that a handler that blocks the
worker's loop loses no lease. On a virtual clock it happens on the worker's loop, in the order of the clock's timers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Final

from ..driver import Clones, Delivery
from ..errors import LeaseLostError, WaybillError
from ..sending.connection import Connection
from ..timing import Clock, SystemClock, sleep
from .run import Run

_logger: Final = logging.getLogger("waybill.leases")
_WITHOUT_LEASE: Final = timedelta(seconds=30)  # how often a connection's lease is asked whether it still holds


class Leases:
    """Keeps the leases of some runs.

    Args:
        connection: the worker's.
        runs: all that are held now; asked at every round.
    """

    def __init__(self, connection: Connection, runs: Callable[[], Iterable[Run]]) -> None:
        self._connection, self._runs = connection, runs
        self._lease = connection.capabilities.lease
        self._home = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._quit: Callable[[], object] = lambda: None

    async def start(self) -> None:
        """Begin; returns once the thread, if there is one, is connected."""
        connection = self._connection
        if not connection.extends:
            return
        if isinstance(connection.driver, Clones) and isinstance(connection.clock, SystemClock):
            ready: Future[None] = Future()
            self._thread = threading.Thread(target=self._serve, args=(ready,), name="waybill-leases", daemon=True)
            self._thread.start()
            await asyncio.wrap_future(ready)
        else:
            self._task = asyncio.create_task(self._renew_for_ever(connection), name="waybill-leases")

    async def stop(self) -> None:
        """End, and disconnect the thread."""
        self._quit()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _serve(self, ready: Future[None]) -> None:
        asyncio.run(self._serve_on_own_loop(ready))

    async def _serve_on_own_loop(self, ready: Future[None]) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        assert isinstance(self._connection.driver, Clones)
        driver = self._connection.driver.clone()
        try:
            await driver.open()
            connection = Connection(driver, self._connection.clock, timedelta())
            self._quit = lambda: loop.call_soon_threadsafe(task.cancel)
        except BaseException as error:
            await driver.close()
            ready.set_exception(error)
            return
        ready.set_result(None)
        with contextlib.suppress(asyncio.CancelledError):
            await self._renew_for_ever(connection)
        await driver.close()

    async def _renew_for_ever(self, connection: Connection) -> None:
        # Looking twice in a third of a lease, none is older than half of it when it is renewed.
        pause = _WITHOUT_LEASE if self._lease is None else self._lease / 6
        while True:
            await sleep(connection.clock, pause)
            try:
                await self._renew_due(connection)
            except Exception:
                _logger.exception("leases could not be renewed; they are tried again in %s", pause)

    async def _renew_due(self, connection: Connection) -> None:
        now = connection.clock.now()
        due: list[tuple[Run, Future[None]]] = []
        for run in self._runs():
            if self._is_due(run.delivery, now) and run.extending is None:
                under_way: Future[None] = Future()
                run.extending = under_way
                # Settling looks at `extending` after it has set `settling`: one of us sees the other.
                if run.settling:
                    run.extending = None
                else:
                    due.append((run, under_way))
        if not due:
            return
        try:
            outcomes = await connection.extend_all([run.delivery for run, _ in due])
            for (run, _), outcome in zip(due, outcomes, strict=True):
                self._renewed(run, outcome, connection.clock)
        except WaybillError as error:
            for run, _ in due:
                self._renewed(run, error, connection.clock)
        finally:
            for run, under_way in due:
                run.extending = None
                under_way.set_result(None)

    def _is_due(self, delivery: Delivery, now: datetime) -> bool:
        if delivery.leased_until is None or self._lease is None:
            return True
        return delivery.leased_until - now <= self._lease * 2 / 3

    def _renewed(self, run: Run, outcome: Delivery | BaseException, clock: Clock) -> None:
        if isinstance(outcome, Delivery):
            run.delivery = outcome
            return
        until = run.delivery.leased_until
        if isinstance(outcome, LeaseLostError) or (until is not None and clock.now() >= until):
            if not run.settling:
                self._home.call_soon_threadsafe(run.interrupt, "lease-lost")
        else:
            _logger.warning("the lease of job %r could not be renewed yet: %s", run.delivery.message.id, outcome)

"""A worker's way through one broker's queues: ask for as many jobs as there are free slots, run, settle."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from ..driver import Delivery
from ..errors import BrokerUnavailableError, ConfigurationError, DriverClosedError, WaybillError
from ..retry import soon
from ..sending.connection import Connection
from ..timing import ZERO, sleep
from .execute import Executor
from .fate import Done, Dropped
from .run import Run
from .settle import settle

_logger: Final = logging.getLogger("waybill.worker")
_WAIT: Final = timedelta(seconds=20)
_LONGEST_PAUSE: Final = timedelta(seconds=2)
_GROUP_GOES_ON: Final = (Done, Dropped)

Group = tuple[str, str]


class Lane:
    """Some queues of one broker.

    Args:
        connection: the broker's.
        queues: their names on the broker, the most urgent first.
        slots: how many jobs may be held at a time.
        executor: runs them.
    """

    def __init__(self, connection: Connection, queues: Sequence[str], slots: int, executor: Executor) -> None:
        self.connection, self.queues = connection, queues
        self.accepted = 0
        """Deliveries received."""
        self._free = slots
        self._executor = executor
        self._exact_attempts = connection.capabilities.exact_attempts
        self.runs: set[Run] = set()
        """In a handler, or about to be, or waiting behind their group."""
        self._tasks: set[asyncio.Task[None]] = set()  # the same and those that are being settled
        self._groups: dict[Group, deque[Run]] = {}
        self._changed = asyncio.Event()

    # -- receiving -------------------------------------------------------------------------------------

    async def feed(self, enough: Callable[[], bool]) -> None:
        """Receive and start jobs until cancelled or *enough*, through broker restarts.

        Raises:
            ConfigurationError, DriverClosedError: receiving cannot go on.
        """
        failures = 0
        while not enough():
            while not self._free:
                self._changed.clear()
                await self._changed.wait()
            try:
                if await self.receive(_WAIT):
                    await asyncio.sleep(0)  # what has come begins before more is asked for
            except (ConfigurationError, DriverClosedError):
                raise
            except Exception as error:
                failures += 1
                pause = soon(failures, _LONGEST_PAUSE)
                known = isinstance(error, BrokerUnavailableError)
                _logger.warning(
                    "receiving from %s failed and is tried again in %.1f s: %s",
                    ", ".join(self.queues), pause.total_seconds(), error, exc_info=None if known else error,
                )  # fmt: skip
                await sleep(self.connection.clock, pause)
            else:
                if failures:
                    _logger.info("receiving from %s works again", ", ".join(self.queues))
                failures = 0

    async def receive(self, wait: timedelta) -> int:
        """Start what comes within *wait*; how many."""
        deliveries = await self.connection.receive(self.queues, limit=self._free, wait=wait)
        for each in deliveries:
            self._accept(each)
        return len(deliveries)

    async def drain(self) -> None:
        """Start and finish all that is due now, and what that sends in turn."""
        while True:
            received = await self.receive(ZERO) if self._free else 0
            if not received:
                if not self._tasks:
                    return
                self._changed.clear()
                await self._changed.wait()

    # -- running ---------------------------------------------------------------------------------------

    def _accept(self, delivery: Delivery) -> None:
        run = Run(delivery)
        self.runs.add(run)
        self.accepted += 1
        self._free -= 1
        group = delivery.message.group
        if group is not None:
            line = self._groups.setdefault((delivery.message.queue, group), deque())
            line.append(run)
            if len(line) > 1:
                return
        self._start(run)

    def _start(self, run: Run) -> None:
        task = asyncio.get_running_loop().create_task(self._process(run))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()

    async def _process(self, run: Run) -> None:
        fate = await self._executor.execute(run, exact_attempts=self._exact_attempts)
        group = run.delivery.message.group
        if group is None:
            # The slot is free while the ack is under way, so that both travel together.
            self._leave(run)
            await settle(self.connection, run, fate)
        else:
            settled = await settle(self.connection, run, fate)
            self._leave(run)
            await self._advance(
                (run.delivery.message.queue, group), goes_on=settled and isinstance(fate, _GROUP_GOES_ON)
            )

    def _leave(self, run: Run) -> None:
        self.runs.discard(run)
        self._free += 1
        self._changed.set()

    async def _advance(self, group: Group, *, goes_on: bool) -> None:
        """Start the next of a group; when the one before did not get through, the whole line goes back in order."""
        line = self._groups[group]
        line.popleft()
        if line and goes_on:
            self._start(line[0])
            return
        del self._groups[group]
        for behind in line:
            await self._give_back(behind)

    async def _give_back(self, run: Run) -> None:
        self._leave(run)
        run.settling = True
        try:
            await self.connection.release(run.delivery)
        except WaybillError as error:
            _logger.warning(
                "job %r could not be given back; its lease brings it back: %s", run.delivery.message.id, error
            )

    def held(self) -> list[Run]:
        """The runs whose leases must hold; asked from other threads too."""
        return list(self.runs)

    # -- stopping --------------------------------------------------------------------------------------

    async def give_back_waiting(self) -> None:
        """Release what waits behind its group."""
        for line in self._groups.values():
            while len(line) > 1:
                await self._give_back(line.pop())

    async def idle(self) -> None:
        """Wait until nothing runs and all is settled."""
        while self._tasks:
            self._changed.clear()
            await self._changed.wait()

    def interrupt(self) -> None:
        """Tell every running job to end because the worker does."""
        for run in list(self.runs):
            run.interrupt("stop")

    async def abandon(self) -> None:
        """Release what would not end; its handler may go on, but nobody waits for it."""
        for run in list(self.runs):
            _logger.error(
                "job %r (%r) ignored its cancellation and is given back while it still runs",
                run.job_name,
                run.delivery.message.id,
            )
            await self._give_back(run)
        for task in self._tasks:
            task.remove_done_callback(self._finished)

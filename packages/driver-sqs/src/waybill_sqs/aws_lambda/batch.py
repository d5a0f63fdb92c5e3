"""The records of one event: run side by side, a FIFO group's one by one, and settled before the time is over."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeAlias

from waybill.errors import WaybillError
from waybill.jobs.context import Flag
from waybill.running.execute import Executor
from waybill.running.prepare import Prepared
from waybill.running.run import Run

from .deadline import Deadline
from .event import Handed
from .settlement import Settlement, seal

_logger: Final = logging.getLogger("waybill.lambda")

Task: TypeAlias = "asyncio.Task[Any]"
Spawn: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Task]
"""Begins a task, and remembers it until it has ended: it may outlive its event."""


class Batch:
    """The records of one event on their way.

    Lambda deletes what its answer does not name. So a record counts as failed until its fate is sealed, and the answer
    is right at any moment.
    """

    def __init__(self, records: Sequence[Handed], deadline: Deadline) -> None:
        self._records, self._deadline = records, deadline
        self._over: set[int] = set()
        """Places of the records that Lambda may delete."""
        self._begun: set[int] = set()
        """Places of those that ran, or were given back unrun."""
        self._runs: set[Run] = set()
        self._shutting_down = Flag()
        self._given_up = False

    def answer(self) -> dict[str, list[dict[str, str]]]:
        """What Lambda wants to know: the records that are to be handed out again. Asked from another thread, too."""
        failed = [each.identifier for place, each in enumerate(self._records) if place not in self._over]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    async def run(self, ready: Prepared, settlement: Settlement, concurrency: int, spawn: Spawn) -> None:
        """Run what can be run in time, and give back the rest."""
        if self._deadline.is_over(self._deadline.stop):
            self._shutting_down.set()
        executor, slots = ready.executor(self._shutting_down), asyncio.Semaphore(concurrency)
        tasks = {spawn(self._work(line, executor, settlement, slots)) for line in self._lines()}
        try:
            await self._until_the_end(tasks, settlement, spawn)
        except asyncio.CancelledError:  # the answer has been given without us
            self._shutting_down.set()
            for task in tasks:
                task.cancel()
            raise

    def _lines(self) -> list[list[int]]:
        """What runs one after the other: the records of a FIFO group, and every other record alone."""
        lines: dict[object, list[int]] = {}
        for place, each in enumerate(self._records):
            lines.setdefault(place if each.group is None else (each.queue, each.group), []).append(place)
        return list(lines.values())

    async def _work(
        self, line: Sequence[int], executor: Executor, settlement: Settlement, slots: asyncio.Semaphore
    ) -> None:
        for position, place in enumerate(line):
            async with slots:
                if self._shutting_down:
                    return
                self._begun.add(place)
                if await self._is_over(place, executor, settlement):
                    self._over.add(place)
                else:
                    behind = [each for each in line[position + 1 :] if each not in self._begun]
                    await self._give_back(behind, settlement)
                    return

    async def _is_over(self, place: int, executor: Executor, settlement: Settlement) -> bool:
        record = self._records[place]
        try:
            accepted = await settlement.accept(record)
            if isinstance(accepted, bool):
                return accepted
            left = self._deadline.until(self._deadline.settled)
            end = None if left is None else settlement.clock.now() + timedelta(seconds=left)
            run = Run(replace(accepted, leased_until=end))  # nothing is settled later than that
            self._runs.add(run)
            try:
                fate = await executor.execute(run, exact_attempts=False)
            finally:
                self._runs.discard(run)
            return not self._given_up and await seal(settlement, run, fate)
        except Exception as error:
            known = isinstance(error, WaybillError)
            _logger.warning(
                "record %r could not be taken on and is left to SQS: %s",
                record.identifier, error, exc_info=None if known else error,
            )  # fmt: skip
            return False

    async def _give_back(self, places: Sequence[int], settlement: Settlement) -> None:
        self._begun.update(places)
        await settlement.give_back([self._records[each] for each in places])

    # -- the end of the time ---------------------------------------------------------------------------

    async def _until_the_end(self, tasks: set[Task], settlement: Settlement, spawn: Spawn) -> None:
        deadline = self._deadline
        if not await _still(tasks, deadline.until(deadline.stop)) and not self._shutting_down:
            return
        self._shutting_down.set()
        unbegun = [place for place in range(len(self._records)) if place not in self._begun]
        _logger.warning(
            "the function's time is nearly over: %d of %d records still run, and %d were not begun",
            len(self._runs), len(self._records), len(unbegun),
        )  # fmt: skip
        giving_back = spawn(self._give_back(unbegun, settlement))
        left = await _still({*tasks, giving_back}, deadline.until(deadline.interrupt))
        for run in self._runs:
            run.interrupt("stop")
        left = await _still(left, deadline.until(deadline.abandon))
        self._given_up = True
        abandoned = {spawn(self._abandon(run, settlement)) for run in self._runs}
        await _still(left | abandoned, deadline.until(deadline.settled))

    async def _abandon(self, run: Run, settlement: Settlement) -> None:
        _logger.error(
            "job %r (%r) ignored its cancellation and is given back while it still runs",
            run.job_name, run.delivery.message.id,
        )  # fmt: skip
        with contextlib.suppress(WaybillError):  # its visibility timeout brings it back
            await settlement.release(run.delivery)


async def _still(tasks: set[Task], seconds: float | None) -> set[Task]:
    """Those that have not ended by then."""
    return (await asyncio.wait(tasks, timeout=seconds))[1] if tasks else tasks

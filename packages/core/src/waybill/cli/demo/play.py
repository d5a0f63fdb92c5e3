"""The course of the demo: send, work, kill, wait, add up."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from ...jobs.job import Call
from ...sending.service import JobService
from ..failures import CommandError
from ..supervisor import Supervisor
from .jobs import LEDGER, LIBRARY, QUEUE, Reminder, SourceFile, measure, remind, urgent
from .ledger import Ledger
from .report import Report, balance

LOG: Final = "workers.log"
_PROCESSES: Final = 2
_SLOTS: Final = 2  # of each: parsing keeps a processor busy, so that more would only wait for it
_LEASE: Final = 3.0
_PATIENCE: Final = 45.0
_REMINDERS: Final = 20
_URGENT: Final = 10
_LOOK: Final = 0.05

Tell = Callable[[str], object]
Progress = Callable[[int, int], object]


async def play(directory: Path, tell: Tell, progress: Progress) -> Report:
    """Run the demo in an empty *directory*.

    Args:
        directory: for the queue, the ledger and the workers' log.
        tell: told what happens.
        progress: told how many jobs are done, of how many.
    """
    url = f"sqlite:///{directory / 'jobs.db'}?lease={_LEASE:g}s"
    ledger = directory / "ledger.jsonl"
    async with JobService(url) as service:
        accepted = await _send(service, tell)
        env = {**os.environ, "WAYBILL_URL": url, LEDGER: str(ledger), "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "waybill", "worker", f"{__package__}.jobs:service"]
        with (directory / LOG).open("ab") as log:
            supervisor = Supervisor(
                [*command, "--concurrency", str(_SLOTS)], _PROCESSES, timedelta(seconds=5),
                env=env, cwd=directory, output=log,
            )  # fmt: skip
            work = asyncio.create_task(supervisor.run())
            start = time.monotonic()
            killed: set[int] = set()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await _watch(
                        service, supervisor, work, total=len(accepted), killed=killed, tell=tell, progress=progress
                    )
            except TimeoutError:
                tell(f"not done after {_PATIENCE:g} s")
            seconds = time.monotonic() - start
            supervisor.stop()
            await work
        dead = await _dead(service)
    entries = await asyncio.to_thread(Ledger(ledger).read)
    return balance(
        entries, accepted, dead, killed=killed, lease=_LEASE, slots=_PROCESSES * _SLOTS, seconds=seconds
    )  # fmt: skip


async def _send(service: JobService, tell: Tell) -> set[str]:
    """Enqueue everything before anybody works, the urgent jobs last; the accepted ids."""
    files = await asyncio.to_thread(_files)
    start = time.monotonic()
    delays = [2 + 3 * number / _REMINDERS for number in range(_REMINDERS)]
    calls: list[Call] = [
        *(measure.call(SourceFile(str(each))) for each in files),
        *(remind.call(Reminder(time.time() + each), delay=timedelta(seconds=each)) for each in delays),
        *(urgent.call() for _ in range(_URGENT)),
    ]
    sent = await service.enqueue_batch(calls)
    sent.raise_for_failed()
    took = time.monotonic() - start
    tell(f"{len(sent):,} jobs accepted in {took:.2f} s: {len(files):,} files of {LIBRARY},")
    tell(f"  {_REMINDERS} reminders for 2 to 5 s from now, and last of all {_URGENT} urgent jobs")
    return {each.job_id for each in sent.ok}


async def _watch(
    service: JobService,
    supervisor: Supervisor,
    work: asyncio.Task[int],
    *,
    total: int,
    killed: set[int],
    tell: Tell,
    progress: Progress,
) -> None:
    """Follow the work to its end, and kill a worker half-way."""
    known: set[int] = set()
    while True:
        for pid in supervisor.working:
            if pid not in known:
                tell(f"worker {pid} is at work" if not killed else f"worker {pid} has taken its place")
                known.add(pid)
        stats = await service.stats(QUEUE)
        left = (stats.ready or 0) + (stats.delayed or 0) + (stats.leased or 0)
        progress(total - left, total)
        if not left:
            return
        if work.done():
            raise CommandError("the workers do not start", exit_code=1)
        if not killed and left * 2 <= total and len(supervisor.working) == _PROCESSES:
            victim = supervisor.working[0]
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
            tell(f"worker {victim} is killed with -9; what it held comes back after its lease of {_LEASE:g} s")
        await asyncio.sleep(_LOOK)


async def _dead(service: JobService) -> dict[str, str]:
    found: dict[str, str] = {}
    after: str | None = None
    while True:
        page = await service.dead_letters(QUEUE, after=after)
        found |= {each.message.id: str(each.reason) for each in page.entries}
        after = page.next
        if after is None:
            return found


def _files() -> list[Path]:
    installed = {"site-packages", "dist-packages"}
    found = (each.relative_to(LIBRARY) for each in sorted(LIBRARY.rglob("*.py")))
    return [each for each in found if installed.isdisjoint(each.parts)]

"""Workers that are killed with -9 again and again while jobs are sent, and the server too if that can be done.

async def test_kills_lose_nothing(tmp_path):
    with broker_or_skip("rabbitmq") as broker:
        await survive(tmp_path, broker.direct_url, kill_server=broker.restart, delayed=0.25)
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from waybill import JobService, define_job
from waybill.driver import Counts, QueueDriver, QueueStats, ReadsDeadLetters
from waybill.drivers import open_driver
from waybill.errors import BrokerUnavailableError, EnqueueUnknownError

from .ledger import LONGEST_DELAY, Events, Ledger

HERE = Path(__file__).parent
PATIENCE = 90.0  # seconds
PORTION = 250  # jobs that are sent at once


async def survive(
    folder: Path,
    url: str,
    *,
    jobs: int = 10_000,
    workers: int = 6,
    kills: int = 20,
    pause: float = 0.3,
    delayed: float = 0.0,
    kill_server: Callable[[], object] | None = None,
    remembers: bool = True,
    patience: float = PATIENCE,
) -> Ledger:
    """Send jobs, kill workers, and see that nothing is lost or early and that every repeat has a cause.

    Args:
        folder: an empty one, for the ledger.
        url: of the broker; a lease of one or two seconds keeps the test short.
        jobs: how many are sent, evenly over the killing.
        workers: how many run at any time.
        kills: of workers that have begun something.
        pause: seconds between kills.
        delayed: the share of the jobs that are sent with a delay of up to 5 seconds.
        kill_server: kills the server and returns when it serves again; called once, half-way, in a thread.
        remembers: whether a server that is killed still knows the attempts that it counted last.
        patience: seconds for what is left after the last kill.
    """
    queue = f"chaos-{uuid.uuid4().hex[:8]}"
    ledger, events = Ledger(folder / "ledger"), Events()
    environment = {**os.environ, "CRASH_URL": url, "CRASH_QUEUE": queue, "CRASH_LEDGER": str(ledger.path)}
    driver = await asyncio.to_thread(open_driver, url)  # it reads files
    await driver.open()
    events.repeats_are_safe = bool(driver.capabilities.idempotent_enqueue)
    events.exact_attempts = remembers and driver.capabilities.exact_attempts
    try:
        async with JobService(url) as service, crew_of(workers, environment) as crew:
            async with asyncio.TaskGroup() as feeding:
                feeding.create_task(feed(service, queue, jobs, kills * pause, delayed, events))
                for number in range(kills):
                    await asyncio.sleep(pause)
                    if kill_server is not None and number == kills // 2:
                        gone = time.time()
                        await asyncio.to_thread(kill_server)
                        events.outages.append((gone, time.time()))
                    events.killed.add(await crew.replace_one(ledger))
            crew.revive()
            await until_all_is_done(driver, queue, ledger, events, patience)
        if isinstance(driver, ReadsDeadLetters):
            assert not (await driver.list_dead(queue)).entries
    finally:
        await driver.close()
    assert len(events.accepted) == jobs
    ledger.read().judge(events)
    assert ledger.repeated, "nothing was interrupted, so nothing was tested"
    print(
        f"{len(events.killed)} workers and {len(events.outages)} servers killed; of {jobs} jobs {len(ledger.repeated)} "
        f"ran more than once, {len(events.unknown)} were sent again as the outcome was unknown, none was lost"
    )
    return ledger


class Crew:
    """Worker processes; one that is killed is replaced."""

    def __init__(self, count: int, environment: dict[str, str]) -> None:
        self._environment = environment
        self._members = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "waybill", "worker", "app:service", "--app-dir", str(HERE), "-c", "50")
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, env=self._environment, stdout=quiet, stderr=quiet)

    async def replace_one(self, ledger: Ledger) -> int:
        """Kill one that has begun something; its number."""
        end = time.monotonic() + PATIENCE
        while not (
            busy := [each for each in self._members if each.poll() is None and each.pid in ledger.read().working]
        ):
            assert time.monotonic() < end, "no worker begins anything"
            self.revive()
            await asyncio.sleep(0.05)
        victim = random.choice(busy)
        victim.send_signal(signal.SIGKILL)
        await asyncio.to_thread(victim.wait)
        self._members[self._members.index(victim)] = self._start()
        return victim.pid

    def revive(self) -> None:
        """Start those anew that have ended by themselves, as a supervisor does: one that finds no server cannot start."""
        self._members = [each if each.poll() is None else self._start() for each in self._members]

    async def dismiss(self) -> None:
        for each in self._members:
            each.terminate()
        for each in self._members:
            await asyncio.to_thread(each.wait)


@asynccontextmanager
async def crew_of(count: int, environment: dict[str, str]) -> AsyncIterator[Crew]:
    crew = Crew(count, environment)
    try:
        yield crew
    finally:
        await crew.dismiss()


async def feed(service: JobService, queue: str, jobs: int, seconds: float, delayed: float, events: Events) -> None:
    """Send the jobs in portions over that time; what was refused is sent again, under the same id."""
    work = define_job(name="work", schema=int, queue=queue)
    for first in range(0, jobs, PORTION):
        begun = time.monotonic()
        calls = {}
        for number in range(first, min(first + PORTION, jobs)):
            job_id = f"{queue}-{number}"
            delay = random.randint(200, int(LONGEST_DELAY * 1000)) if random.random() < delayed else 0
            if delay:
                events.due[job_id] = time.time() + delay / 1000
            calls[job_id] = work.call(number, job_id=job_id, delay=f"{delay}ms")
        while calls:
            outcomes = dict(zip(calls, await service.enqueue_batch(list(calls.values())), strict=True))
            events.unknown |= {each for each, outcome in outcomes.items() if isinstance(outcome, EnqueueUnknownError)}
            calls = {each: call for each, call in calls.items() if isinstance(outcomes[each], Exception)}
            events.accepted |= outcomes.keys() - calls.keys()
            await asyncio.sleep(0.1 if calls else 0)
        await asyncio.sleep(max(0.0, seconds * PORTION / jobs - (time.monotonic() - begun)))


async def until_all_is_done(driver: QueueDriver, queue: str, ledger: Ledger, events: Events, patience: float) -> None:
    """Every accepted job has run, and the queue holds nothing: what killed workers had not acked has come again."""
    end = time.monotonic() + patience
    while missing := len(events.accepted - ledger.read().finished):
        assert time.monotonic() < end, f"{missing} accepted jobs have not run {patience:g} s after the last kill"
        await asyncio.sleep(0.2)
    while isinstance(driver, Counts):
        try:
            stats: QueueStats = await driver.stats(queue)
        except BrokerUnavailableError:
            continue
        if not (stats.ready or stats.delayed or stats.leased):
            return
        assert time.monotonic() < end, f"still not empty: {stats}"
        await asyncio.sleep(0.2)

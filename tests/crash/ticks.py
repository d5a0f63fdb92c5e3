"""Workers that are killed with -9 at random while they fire a schedule each 200 ms.

async def test_each_instant_is_fired_once(tmp_path):
    await fire_through_kills(tmp_path, f"sqlite:///{tmp_path}/jobs.db?lease=2s")
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
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from waybill import JobService, Schedule

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds for what is left after the last kill
EVERY = timedelta(milliseconds=200)


async def fire_through_kills(
    folder: Path, url: str, *, schedules: str | None = None, workers: int = 5, seconds: float = 6.0, exact: bool = True
) -> None:
    """Kill all workers but one at random, replace them, and see that each instant was fired once.

    Args:
        folder: an empty one, for the ledger.
        url: of the broker; a lease of one or two seconds keeps the test short.
        schedules: where they are kept, if not there.
        workers: how many run at any time.
        seconds: of killing.
        exact: whether a second job of one instant is a failure; False on a broker that forgets ids.
    """
    seconds = float(os.environ.get("WAYBILL_KILLING_SECONDS", seconds))
    ledger, namespace = folder / "ledger", f"ticks-{uuid.uuid4().hex[:8]}"
    environment = {**os.environ, "CRASH_URL": url, "CRASH_LEDGER": str(ledger), "CRASH_QUEUE": namespace}
    if schedules is not None:
        environment["CRASH_SCHEDULES"] = schedules
    kills = 0
    async with JobService(url, namespace=namespace, schedules=schedules) as service:
        crew = [start_worker(environment) for _ in range(workers)]
        try:
            await service.dispatch("tick", queue="default", schedule=Schedule(every=EVERY), schedule_id="s")
            # What fell due before the first worker had started was missed, and is caught up by one run.
            first = instant_of(await reached(ledger))
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await asyncio.sleep(random.uniform(0.1, 0.5))
                victim = crew.pop(random.randrange(1, workers))  # the first one lives
                victim.send_signal(signal.SIGKILL)
                await asyncio.to_thread(victim.wait)
                kills += 1
                crew.append(start_worker(environment))
            last = first + ((datetime.now(UTC) - first) // EVERY + 5) * EVERY
            await reached(ledger, f"s@{last.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}")
            await asyncio.sleep(3)  # what was begun by the killed comes back after its lease
        finally:
            for each in crew:
                each.terminate()
            for each in crew:
                await asyncio.to_thread(each.wait)
        await service.cancel_schedule("s")
    judge(lines_of(ledger), first, last, exact=exact)
    print(f"{kills} workers killed while {(last - first) // EVERY + 1} instants were fired")


def judge(lines: list[list[str]], first: datetime, last: datetime, *, exact: bool) -> None:
    """Every instant from the first to the last was run, and none was sent twice."""
    fired = {instant_of(job_id) for job_id, _ in lines}
    missed = {first + each * EVERY for each in range((last - first) // EVERY + 1)} - fired
    assert not missed, f"{len(missed)} instants were missed: {sorted(missed)[:5]}"
    # A run that was killed before its ack runs again as the next attempt of the same message; a second message of an
    # instant would be another first attempt.
    firsts = Counter(job_id for job_id, attempt in lines if attempt == "1")
    twice = [job_id for job_id, count in firsts.items() if count > 1]
    assert not (exact and twice), f"{len(twice)} instants were fired twice: {twice[:5]}"


def start_worker(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "waybill", "worker", "ticking:service", "--app-dir", str(HERE)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lines_of(ledger: Path) -> list[list[str]]:
    return [line.split() for line in ledger.read_text().splitlines()] if ledger.exists() else []


def instant_of(job_id: str) -> datetime:
    return datetime.fromisoformat(job_id.partition("@")[2])


async def reached(ledger: Path, job_id: str = "") -> str:
    """Wait until this job, or any, has run; the id of the first that did."""
    deadline = time.monotonic() + PATIENCE
    while not any(line[0].endswith(job_id) for line in lines_of(ledger)):
        assert time.monotonic() < deadline, f"{job_id or 'nothing'} was never run"
        await asyncio.sleep(0.1)
    return lines_of(ledger)[0][0]

"""Every instant of a schedule is fired once, while the workers that fire it are killed at random and replaced."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from waybill import JobService, Schedule

HERE = Path(__file__).parent
KILLING = float(os.environ.get("WAYBILL_KILLING_SECONDS", "6"))
WORKERS = 5
EVERY = timedelta(milliseconds=200)


def start_worker(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "waybill", "worker", "ticking:service", "--app-dir", str(HERE)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lines_of(ledger: Path) -> list[list[str]]:
    return [line.split() for line in ledger.read_text().splitlines()] if ledger.exists() else []


async def reached(ledger: Path, job_id: str = "") -> str:
    """Wait until a job, or any, has run; the id of the first that did."""
    deadline = time.monotonic() + 60
    while not any(line[0].endswith(job_id) for line in lines_of(ledger)):
        assert time.monotonic() < deadline, f"{job_id or 'nothing'} was never run"
        await asyncio.sleep(0.1)
    return lines_of(ledger)[0][0]


@pytest.mark.timeout(150)
async def test_each_instant_is_fired_once_while_workers_are_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db?lease=2s"
    ledger = tmp_path / "ledger"
    environment = {**os.environ, "CRASH_URL": url, "CRASH_LEDGER": str(ledger)}
    rng = random.Random(9)
    kills = 0
    async with JobService(url) as service:
        workers = [start_worker(environment) for _ in range(WORKERS)]
        try:
            await service.dispatch("tick", queue="default", schedule=Schedule(every=EVERY), schedule_id="s")
            # What fell due before the first worker had started was missed, and is caught up by one run.
            first = datetime.fromisoformat((await reached(ledger)).partition("@")[2])
            end = time.monotonic() + KILLING
            while time.monotonic() < end:
                await asyncio.sleep(rng.uniform(0.1, 0.5))
                victim = workers.pop(rng.randrange(1, len(workers)))  # the first one lives
                victim.send_signal(signal.SIGKILL)
                await asyncio.to_thread(victim.wait)
                kills += 1
                workers.append(start_worker(environment))
            [entry] = await service.schedules()
            assert entry.next_run_at is not None
            last = entry.next_run_at + 5 * EVERY
            await reached(ledger, f"s@{last.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}")
            await asyncio.sleep(3)  # what was begun by the killed comes back after its lease
        finally:
            for each in workers:
                each.terminate()
            for each in workers:
                await asyncio.to_thread(each.wait)

    lines = lines_of(ledger)
    fired = {datetime.fromisoformat(job_id.partition("@")[2]) for job_id, _ in lines}
    wanted = {first + each * EVERY for each in range((last - first) // EVERY + 1)}
    assert wanted - fired == set(), "instants were missed"
    # A run that was killed before its ack runs again as the next attempt of the same message; a second message of an
    # instant would be another first attempt.
    first_attempts = Counter(job_id for job_id, attempt in lines if attempt == "1")
    assert [job_id for job_id, count in first_attempts.items() if count > 1] == []
    assert kills >= KILLING
    print(f"{kills} kills, {len(wanted)} instants, {len(lines) - len(fired)} further attempts")

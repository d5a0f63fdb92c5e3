"""The set test: what was accepted is found again, whatever is killed meanwhile, and what ran twice has a cause."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from waybill import JobService

HERE = Path(__file__).parent
JOBS = 10_000
KILLING = 15.0  # seconds
BETWEEN = 0.7


def start_worker(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "waybill", "worker", "app:service", "--app-dir", str(HERE), "--concurrency", "50"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def wait_until_empty(service: JobService, deadline: float) -> None:
    while time.monotonic() < deadline:
        stats = await service.stats("default")
        if not (stats.ready or stats.delayed or stats.leased):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"still not empty: {await service.stats('default')}")


@pytest.mark.timeout(150)
async def test_no_accepted_job_is_lost_and_every_repeat_has_a_cause_while_workers_are_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db?lease=1s"
    ledger = tmp_path / "ledger"
    environment = {**os.environ, "CRASH_URL": url, "CRASH_LEDGER": str(ledger)}
    killed: set[int] = set()
    async with JobService(url) as service:
        accepted = {each.job_id for each in (await service.enqueue_batch([("work", n) for n in range(JOBS)])).ok}
        assert len(accepted) == JOBS
        workers = [start_worker(environment), start_worker(environment)]
        try:
            end = time.monotonic() + KILLING
            while time.monotonic() < end:
                await asyncio.sleep(BETWEEN)
                victim = workers.pop(0)
                victim.send_signal(signal.SIGKILL)
                await asyncio.to_thread(victim.wait)
                killed.add(victim.pid)
                workers.append(start_worker(environment))
            await wait_until_empty(service, time.monotonic() + 90)
        finally:
            for each in workers:
                each.terminate()
            for each in workers:
                await asyncio.to_thread(each.wait)
        dead = await service.dead_letters("default")
    assert not dead.entries

    starts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    finished: set[str] = set()
    for line in ledger.read_text().splitlines():
        what, job_id, attempt, pid = line.split()
        if what == "finish":
            finished.add(job_id)
        else:
            starts[job_id].append((int(attempt), int(pid)))
    assert finished == accepted, f"{len(accepted - finished)} jobs are missing"
    repeated = {job_id: runs for job_id, runs in starts.items() if len(runs) > 1}
    assert repeated, "nothing was interrupted, so nothing was tested"
    for job_id, runs in repeated.items():
        attempts = [attempt for attempt, _ in runs]
        assert attempts == sorted(set(attempts)), f"{job_id}: attempts do not count up: {attempts}"
        assert all(pid in killed for _, pid in runs[:-1]), f"{job_id} ran again though nobody killed its worker"
    for job_id, runs in starts.items():
        # An attempt that left no line was received by a worker that was killed before the handler began.
        assert runs[-1][0] <= 1 + len(killed), f"{job_id}: attempt {runs[-1][0]} after {len(killed)} kills"
    print(f"{len(killed)} kills, {len(repeated)} of {JOBS} jobs ran more than once, none was lost")

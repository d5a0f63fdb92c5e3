"""Workers that are killed again and again, and a server that is killed once: every job is acked, none is lost."""

import asyncio
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from waybill.driver import Message
from waybill.errors import BrokerUnavailableError

PEER = Path(__file__).with_name("peer.py")
JOBS, WORKERS, KILLS = 10_000, 6, 20


@pytest.mark.timeout(120)
async def test_20_kills_of_six_workers_and_one_of_the_server_lose_nothing(server, connect, prefix, tmp_path):
    driver = await connect(server.url, lease="500ms")
    notes = tmp_path / "notes"

    def start():
        return subprocess.Popen([sys.executable, str(PEER), server.url, prefix, str(notes)])

    for first in range(0, JOBS, 1000):
        await driver.enqueue_batch([(Message(f"j{number}", "q", b"{}"), None) for number in range(first, first + 1000)])
    workers = [start() for _ in range(WORKERS)]
    try:
        for kill in range(KILLS):
            await asyncio.sleep(0.2)
            victim = random.randrange(WORKERS)
            workers[victim].kill()
            workers[victim].wait()
            workers[victim] = start()
            if kill == KILLS // 2:
                server.kill()
                server.start()
        for _ in range(600):
            await asyncio.sleep(0.1)
            try:
                stats = await driver.stats("q")
            except BrokerUnavailableError:
                continue
            if not stats.ready and not stats.leased:
                break
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    seen = [line.split() for line in notes.read_text().splitlines()]
    acked = Counter(job_id for job_id, _, outcome in seen if outcome == "acked")
    assert (stats.ready, stats.leased) == (0, 0)
    # An ack whose note the kill took along, or whose answer did, leaves no line: the queue is empty all the same.
    assert max(acked.values()) == 1
    assert len({job_id for job_id, _, _ in seen}) >= JOBS - 20 * (KILLS + WORKERS)

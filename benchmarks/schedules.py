"""What schedules cost: `python -m benchmarks.schedules sqlite:///bench.db [--schedules 10000] [--seconds 60]`.

Makes so many hourly schedules, whose first runs are spread over an hour, and prints how long that took; the CPU time of
a worker that waits for them; and, while they fall due, its CPU time and how late the jobs begin.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

from waybill import JobContext, JobService, Schedule, Worker, job

AT_A_TIME = 200
HOUR = timedelta(hours=1)
late: list[float] = []


@job(name="tick")
async def tick(ctx: JobContext) -> None:
    assert ctx.scheduled_for is not None
    late.append((datetime.now(UTC) - ctx.scheduled_for).total_seconds() * 1000)


async def measure(url: str, count: int, seconds: float, idle: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    async with JobService(url, jobs=[tick], namespace="bench-schedules") as service:
        begun = time.perf_counter()
        start = datetime.now(UTC) + timedelta(seconds=idle + count / 2000)

        async def make(number: int) -> None:
            schedule = Schedule(every=HOUR, start_at=start + HOUR * number / count)
            await service.dispatch(tick, schedule=schedule, schedule_id=f"s{number}")

        for first in range(0, count, AT_A_TIME):
            await asyncio.gather(*(make(number) for number in range(first, min(first + AT_A_TIME, count))))
        figures["dispatches a second"] = count / (time.perf_counter() - begun)
        async with Worker(service):
            await asyncio.sleep(2)
            figures["idle: % of a CPU"] = await used(max(0.1, (start - datetime.now(UTC)).total_seconds() - 1))
            figures["busy: % of a CPU"] = await used(seconds)
        for entry in await service.schedules():
            await service.cancel_schedule(entry.schedule_id)
    late.sort()
    figures |= {"runs": len(late), "late, p50 ms": late[len(late) // 2], "late, p99 ms": late[int(len(late) * 0.99)]}
    return figures


async def used(seconds: float) -> float:
    cpu, real = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    return 100 * (time.process_time() - cpu) / (time.perf_counter() - real)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedules", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60, help="while they fall due")
    parser.add_argument("--idle", type=float, default=30, help="before the first does")
    options = parser.parse_args()
    figures = asyncio.run(measure(options.url, options.schedules, options.seconds, options.idle))
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=1))


if __name__ == "__main__":
    main()

"""Jobs for later: after a delay, at a moment, by a default of the job; and taking one back. On a virtual clock."""

import asyncio
from datetime import UTC, datetime

from waybill import JobService, job
from waybill.testing import MemoryDriver, VirtualClock, run_until_idle

clock = VirtualClock("2026-03-01T09:00:00Z")


@job(delay="1h")
async def remind(text: str) -> None:
    print(f"  {clock.now():%H:%M} {text}")


async def main() -> None:
    async with JobService(MemoryDriver(clock=clock), jobs=[remind]) as service:
        await service.enqueue(remind, "after the job's own hour")
        await service.enqueue_in(remind, "after ten minutes", "10m")
        await service.enqueue_at(remind, "at half past nine", datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
        await service.enqueue_at(remind, "a moment that is past: now", "2026-03-01T08:00:00Z")
        unwanted = await service.enqueue_in(remind, "never", "20m")
        print(f"{unwanted.status} for {unwanted.scheduled_at:%H:%M}, and taken back: "
              f"{await service.cancel(unwanted.job_id)}")  # fmt: skip
        for _ in range(7):
            await run_until_idle(service)
            clock.advance("10m")


asyncio.run(main())

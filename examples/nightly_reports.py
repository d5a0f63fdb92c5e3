"""A report at 8 in New York and a clean-up at 3 in the night, over the weekend when the clocks go forward.

The clock is a virtual one, so that three days pass at once. WAYBILL_URL=redis://… runs it there.
"""

import asyncio
import os
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from waybill import JobContext, JobService, Lazy, Schedule, define_periodic_job, job
from waybill.testing import VirtualClock, run_until_idle

NEW_YORK = ZoneInfo("America/New_York")
A_MONTH_AGO = Lazy("nightly.a-month-ago", lambda now: (now - timedelta(days=30)).date().isoformat())
ran: list[str] = []


def note(what: str, ctx: JobContext) -> None:
    assert ctx.scheduled_for is not None
    ran.append(f"{ctx.scheduled_for.astimezone(NEW_YORK):%a %H:%M} {what}")
    print(f"  {ran[-1]}")


async def report(ctx: JobContext) -> None:
    note("report", ctx)


daily_report = define_periodic_job(
    name="daily-report", handler=report, queue="reports", schedule=Schedule(cron="0 8 * * *", tz="America/New_York")
)


@job(name="delete-logs", queue="maintenance")
async def delete_logs(payload: dict[str, Any], ctx: JobContext) -> None:
    note(f"deletes what is older than {payload['before']}", ctx)


async def main() -> None:
    clock = VirtualClock("2026-03-06T17:00:00Z")
    url = os.environ.get("WAYBILL_URL", "sqlite:///nightly.db")
    service = JobService(url, jobs=[daily_report, delete_logs], namespace="nightly", clock=clock)
    async with service:
        await service.dispatch(
            delete_logs,
            {"before": A_MONTH_AGO},
            schedule=Schedule(cron="0 3 * * *", tz="America/New_York", limit=3),
            schedule_id="clean-up",
        )
        await run_until_idle(service)
        for _ in range(72):
            clock.advance("1h")
            await run_until_idle(service)
        for entry in await service.schedules():
            print(f"{entry.schedule_id}: {entry.schedule}, {entry.runs} runs, {entry.status}")
            await service.cancel_schedule(entry.schedule_id)
    assert [each for each in ran if each.endswith("report")] == [
        "Sat 08:00 report",
        "Sun 08:00 report",
        "Mon 08:00 report",
    ]
    assert len(ran) == 6


asyncio.run(main())

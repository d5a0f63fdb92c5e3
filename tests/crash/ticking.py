"""An application whose schedule's runs are written down, one line each, outside the process."""

import os

from waybill import JobContext, JobService, job

LEDGER = os.open(os.environ["CRASH_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@job(retry=100)
async def tick(ctx: JobContext) -> None:
    os.write(LEDGER, f"{ctx.job_id} {ctx.attempt}\n".encode())


service = JobService(
    os.environ["CRASH_URL"],
    jobs=[tick],
    namespace=os.environ["CRASH_QUEUE"],
    schedules=os.environ.get("CRASH_SCHEDULES"),
)

"""An application whose handler writes down when it begins and when it is done, one line each, outside the process."""

import asyncio
import os
import time

from waybill import JobContext, JobService, job

LEDGER = os.open(os.environ["CRASH_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what: str, ctx: JobContext) -> None:
    os.write(LEDGER, f"{what} {ctx.job_id} {ctx.attempt} {os.getpid()} {time.time()}\n".encode())


@job(queue=os.environ["CRASH_QUEUE"], retry=100)
async def work(number: int, ctx: JobContext) -> None:
    note("start", ctx)
    await asyncio.sleep(0.06)
    note("finish", ctx)


service = JobService(os.environ["CRASH_URL"], jobs=[work])

"""Watching jobs: a plugin with several hooks, one of them around each job, and single functions."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from waybill import JobExecution, JobService, PermanentJobError, Worker, hookimpl, job

logging.disable()  # the worker logs every failure; here they are printed


class Metrics:
    """A hook names the parameters it wants, and no others."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @hookimpl
    def waybill_job_enqueued(self, job: JobExecution) -> None:
        self.counts["enqueued"] += 1

    @hookimpl
    async def waybill_job_complete(self, job: JobExecution, result: object) -> None:
        self.counts["complete"] += 1

    @hookimpl
    def waybill_job_failed(self, job: JobExecution, error: BaseException, retry_in: timedelta | None) -> None:
        self.counts["failed for good" if retry_in is None else "failed, runs again"] += 1

    @hookimpl
    @asynccontextmanager
    async def waybill_around_job(self, job: JobExecution) -> AsyncIterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            print(f"  {job.payload} took {'under' if time.perf_counter() - begin < 5 else 'over'} five seconds")


def report(job: JobExecution, ctx: object, err: BaseException) -> None:
    print(f"  given up: {job.payload} because {err}")


@job
async def divide(by: int) -> float:
    if by == 0:
        raise PermanentJobError("nobody can divide by zero")
    return 1 / by


async def main() -> None:
    metrics = Metrics()
    service = JobService("memory://", jobs=[divide], plugins=[metrics], on_job_dead_letter=report)
    async with service:
        for number in range(3):
            await service.enqueue(divide, number)
        await Worker(service).run_until_idle()
    print(dict(metrics.counts))


asyncio.run(main())

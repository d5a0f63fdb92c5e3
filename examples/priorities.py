"""A higher priority goes first (0 to 9); equal ones go in the order they were sent."""

import asyncio

from waybill import JobService, Worker, job


@job
async def report(title: str) -> None:
    print(title)


@job(priority=9)
async def alarm(title: str) -> None:
    print(title)


async def main() -> None:
    async with JobService("memory://", jobs=[report, alarm]) as service:
        await service.enqueue(report, "third: a report")
        await service.enqueue(report, "fourth: a report")
        await service.enqueue(report, "second: a report for the boss", priority=5)
        await service.enqueue(alarm, "first: an alarm")
        await Worker(service, concurrency=1).run_until_idle()


asyncio.run(main())

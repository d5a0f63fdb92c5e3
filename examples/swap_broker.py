"""One application on two brokers: nothing but the URL changes, and each one says what it promises."""

import asyncio
import tempfile
from pathlib import Path

from waybill import JobService, Unique, Worker, claims, job, open_driver


@job(priority=3, group="ledger", unique=Unique(key=str, on_conflict="skip"))
async def book(amount: int) -> None:
    print(f"  booked {amount}")


async def run_on(url: str) -> None:
    async with JobService(url, jobs=[book]) as service:
        await service.check()  # refuses a broker that cannot keep what the jobs ask
        results = await service.enqueue_batch([(book, amount) for amount in (10, 20, 20, 30)])
        print(f"  {', '.join(result.status for result in results.ok)}")
        await Worker(service).run_until_idle()


async def durability_of(url: str) -> str:
    driver = open_driver(url)
    await driver.open()
    try:
        return str(dict(claims(driver))["durability"])
    finally:
        await driver.close()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for url in ("memory://", f"sqlite:///{Path(folder, 'jobs.db')}"):
            print(f"{url.partition('://')[0]}, durability {await durability_of(url)}")
            await run_on(url)


asyncio.run(main())

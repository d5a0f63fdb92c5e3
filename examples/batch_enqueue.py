"""Many jobs in one call: all are checked before any is sent, and each has its outcome."""

import asyncio

from waybill import InvalidJobPayloadError, JobService, Worker, define_job

delivered: list[str] = []


async def deliver(address: str) -> None:
    delivered.append(address)


newsletter = define_job(name="newsletter", handler=deliver)


def show(done: int, total: int) -> None:
    if done % 5_000 == 0:
        print(f"  {done:,} of {total:,}")


async def main() -> None:
    addresses = [f"user-{number}@example.org" for number in range(10_000)]
    async with JobService("memory://", jobs=[newsletter]) as service:
        result = await service.enqueue_batch([(newsletter, each) for each in addresses], on_progress=show)
        print(result)
        result.raise_for_failed()

        try:
            await service.enqueue_batch([newsletter.call("a@example.org", delay="1h"), (newsletter, 3)])
        except InvalidJobPayloadError as error:
            print(f"refused: {error} ({error.__notes__[0]})")

        await Worker(service).run_until_idle()
    print(f"{len(delivered):,} delivered")


asyncio.run(main())

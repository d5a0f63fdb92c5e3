"""Stopping a worker: running jobs get the grace, what is left goes back unspent, and another worker runs it."""

import asyncio
import logging

from waybill import JobContext, JobService, Worker, job

logging.disable()


@job
async def step(name: str, ctx: JobContext) -> None:
    if name == "long" and not done:
        await asyncio.sleep(60)
    await asyncio.sleep(0.05)
    done.append(name)
    print(f"  {name} is done in attempt {ctx.attempt}")


done: list[str] = []


async def main() -> None:
    async with JobService("memory://", jobs=[step]) as service:
        for name in ("long", "short", "waiting"):
            await service.enqueue(step, name)
        worker = Worker(service, concurrency=2)
        running = asyncio.create_task(worker.run())  # `run(signals=True)`, or the command line, also obeys SIGTERM
        await asyncio.sleep(0.02)
        print("stopping, with a grace of 0.2 s")
        await worker.stop("200ms")
        await running
        print(f"stopped: {await service.stats('default')}")
        await Worker(service).run_until_idle()


asyncio.run(main())

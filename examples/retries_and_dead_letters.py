"""What becomes of a job that fails: another run, or a dead letter that can be sent again."""

import asyncio
import logging

from waybill import JobContext, JobService, PermanentJobError, Retry, TransientJobError, job
from waybill.testing import MemoryDriver, VirtualClock, run_until_idle

logging.disable()  # the worker logs every failure; here they are printed

down = {"the shop"}


@job(retry=Retry(max_attempts=3, backoff="10m"))
async def charge(order_id: str, ctx: JobContext) -> None:
    if order_id == "no-such-order":
        raise PermanentJobError("there is no such order")  # running again is useless
    if order_id == "busy":
        if ctx.attempt == 1:
            raise TransientJobError("asked to come back later", retry_after="1h")
    elif down:
        raise ConnectionError("the shop is down")
    print(f"  charged {order_id} in attempt {ctx.attempt}")


async def main() -> None:
    clock = VirtualClock()
    async with JobService(MemoryDriver(clock=clock), jobs=[charge]) as service:
        for order_id in ("o-1", "busy", "no-such-order"):
            await service.enqueue(charge, order_id)
        for wait in ("0s", "10m", "10m", "40m"):
            clock.advance(wait)
            ran = await run_until_idle(service)
            print(f"{clock.now():%H:%M}: {ran} runs, {await service.stats('default')}")

        dead, _ = await service.dead_letters("default")
        for letter in dead:
            print(f"dead: {letter.message.payload}, after attempt {letter.reason.attempt}: {letter.reason}")

        down.clear()
        [exhausted] = [each.message.id for each in dead if each.reason.code == "exhausted"]
        print(f"sent again: {await service.retry_dead('default', [exhausted])}")
        await run_until_idle(service)
        print(f"deleted: {await service.purge_dead('default')}")


asyncio.run(main())

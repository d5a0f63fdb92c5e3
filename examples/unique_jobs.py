"""At most one job with a key at a time: until it is done, until it starts, or for a window."""

import asyncio
from dataclasses import dataclass

from waybill import DuplicateJobError, JobService, Unique, define_job
from waybill.testing import MemoryDriver, VirtualClock, run_until_idle


@dataclass
class Sync:
    account: str
    full: bool = False


async def work(payload: Sync) -> None:
    print(f"  synchronized {payload.account}")


def account(payload: Sync) -> str:
    return payload.account


until_done = define_job(name="until-done", handler=work, unique=Unique(key=account))
skipping = define_job(name="skipping", handler=work, unique=Unique(key=account, on_conflict="skip"))
windowed = define_job(name="windowed", handler=work, unique=Unique(key=account, window="5m"))


async def main() -> None:
    clock = VirtualClock()
    async with JobService(MemoryDriver(clock=clock), jobs=[until_done, skipping, windowed]) as service:
        first = await service.enqueue(until_done, Sync("a"))
        await service.enqueue(until_done, Sync("b"))  # another key
        try:
            await service.enqueue(until_done, Sync("a", full=True))
        except DuplicateJobError as error:
            print(f"refused: {error.key!r} is held, by the first job: {error.existing_job_id == first.job_id}")
        await run_until_idle(service)
        await service.enqueue(until_done, Sync("a"))
        print("accepted: the first one is done")

        holder = await service.enqueue(skipping, Sync("a"))
        again = await service.enqueue(skipping, Sync("a"))
        print(f"skipped: {again.status}, and its id is the holder's: {again.job_id == holder.job_id}")

        await service.enqueue(windowed, Sync("a"))
        await run_until_idle(service)
        clock.advance("4m59s")
        try:
            await service.enqueue(windowed, Sync("a"))
        except DuplicateJobError:
            print("refused: done, but its five minutes are not over")
        clock.advance("1s")
        print(f"accepted: {(await service.enqueue(windowed, Sync('a'))).status}")


asyncio.run(main())

"""One application: sends jobs of every kind, runs them, and prints what became of them. Only its URL is not its own."""

import asyncio
import json
import sys
from dataclasses import dataclass

from waybill import JobContext, JobService, PermanentJobError, Retry, TransientJobError, Worker, job

ran: list[str] = []


@dataclass
class Order:
    number: int
    note: str = "none"


@job(queue="orders")
async def accept(order: Order) -> None:
    ran.append(f"order {order.number} ({order.note})")


@job(queue="orders")
def accept_plainly(order: Order) -> None:
    ran.append(f"order {order.number} in a thread")


@job(queue="mail", retry=Retry(max_attempts=5, backoff="100ms"))
async def fail_twice(name: str, ctx: JobContext) -> None:
    if ctx.attempt < 3:
        raise TransientJobError("not yet", retry_after="200ms")
    ran.append(f"{name} at attempt {ctx.attempt}")


@job(queue="mail", retry=Retry(max_attempts=2, backoff="100ms"))
async def never_work(name: str) -> None:
    raise LookupError(f"no such address: {name}")


@job(queue="mail")
async def give_up(name: str) -> None:
    raise PermanentJobError(f"{name} has left")


@job(queue="mail")
async def begin(name: str, ctx: JobContext) -> None:
    ran.append(f"begun for {name}")
    await ctx.enqueue(accept, Order(99, "follow-up"))


async def main(url: str) -> None:
    jobs = [accept, accept_plainly, fail_twice, never_work, give_up, begin]
    async with JobService(url, jobs=jobs) as service:
        await service.check()
        results = [await service.enqueue(accept, Order(1)), await service.enqueue_in(accept, Order(2, "later"), "1s")]
        batch = await service.enqueue_batch([accept.call(Order(number), delay="500ms") for number in range(10, 15)])
        for each, name in ((fail_twice, "anna"), (never_work, "bert"), (give_up, "carl"), (begin, "dora")):
            await service.enqueue(each, name)
        await service.enqueue(accept_plainly, Order(3))
        async with Worker(service), asyncio.timeout(40):
            while len(ran) < 11 or await dead(service) != ["exhausted", "permanent"]:
                await asyncio.sleep(0.05)
        sent_back = await service.retry_dead("mail")
        async with Worker(service), asyncio.timeout(40):
            while await dead(service) != ["exhausted", "permanent"]:
                await asyncio.sleep(0.05)
        reasons = sorted(entry.reason.error for entry in (await service.dead_letters("mail")).entries)
        await service.purge_dead("mail")
        report = {
            "told": [result.status for result in results] + [result.status for result in batch.ok],
            "ran": sorted(ran),
            "sent back": sent_back,
            "reasons": reasons,
            "dead at the end": await dead(service),
        }
    print(json.dumps(report))


async def dead(service: JobService) -> list[str]:
    return sorted(entry.reason.code for entry in (await service.dead_letters("mail")).entries)


asyncio.run(main(sys.argv[1]))

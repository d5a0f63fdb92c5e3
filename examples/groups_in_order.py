"""Jobs of one group run one by one in the order they were sent, and groups run beside each other."""

import asyncio
import random
from dataclasses import dataclass

from waybill import JobService, Worker, job


@dataclass
class Event:
    account: str
    number: int


seen: dict[str, list[int]] = {"a": [], "b": [], "c": []}


@job(group=lambda event: event.account)
async def apply(event: Event) -> None:
    await asyncio.sleep(random.random() / 100)  # however long each one takes
    seen[event.account].append(event.number)


async def main() -> None:
    async with JobService("memory://", jobs=[apply]) as service:
        await service.enqueue_batch([(apply, Event(account, number)) for number in range(10) for account in seen])
        await Worker(service, concurrency=8).run_until_idle()
    for account, numbers in seen.items():
        print(account, numbers)
        assert numbers == sorted(numbers)


asyncio.run(main())

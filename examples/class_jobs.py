"""A job as a class: options are attributes, the payload's type is the class's argument."""

import asyncio
from typing import TypedDict

from waybill import Job, JobContext, JobService, Worker


class Order(TypedDict):
    order_id: str
    items: list[str]


class PackOrder(Job[Order]):
    queue = "warehouse"
    retry = 3
    priority = 5

    async def handle(self, payload: Order, ctx: JobContext) -> None:
        print(f"{ctx.job_name}: {payload['order_id']} has {', '.join(payload['items'])}")
        await ctx.enqueue(ShipOrder, payload["order_id"])


class ShipOrder(Job[str]):
    queue = "warehouse"

    async def handle(self, order_id: str, ctx: JobContext) -> None:
        print(f"{ctx.job_name}: {order_id}, sent by job {'above' if ctx.parent_id else 'none'}")


async def main() -> None:
    async with JobService("memory://", jobs=[PackOrder, ShipOrder]) as service:
        await service.enqueue(PackOrder, {"order_id": "o-1", "items": ["tea", "cups"]})
        # The same, through the service that registered the job.
        await PackOrder().dispatch({"order_id": "o-2", "items": ["kettle"]})
        await Worker(service).run_until_idle()


asyncio.run(main())

"""A handler sends further jobs, which know their parent; metadata and a session travel with a job."""

import asyncio
from dataclasses import dataclass

from waybill import JobContext, JobService, Session, Worker, job


@dataclass
class Order:
    order_id: str


@job
async def place_order(order: Order, ctx: JobContext) -> None:
    print(f"{ctx.job_name} for {ctx.session}, traced as {ctx.metadata['trace']}")
    await ctx.enqueue(charge, order, metadata=ctx.metadata, session=ctx.session)
    await ctx.enqueue(send_receipt, order, metadata=ctx.metadata)


@job
async def charge(order: Order, ctx: JobContext) -> None:
    assert ctx.session is not None
    print(f"{ctx.job_name}: has a parent: {ctx.parent_id is not None}, has the token: {bool(ctx.session.token)}")


@job
def send_receipt(order: Order, ctx: JobContext) -> None:
    # A plain function sends through ctx.sync.
    ctx.sync.enqueue("archive", {"order_id": order.order_id}, queue="default")
    print(f"{ctx.job_name}: in a thread, traced as {ctx.metadata['trace']}")


@job(schema=None)
async def archive(payload: object) -> None:
    print(f"archive: {payload}")


async def main() -> None:
    async with JobService("memory://", jobs=[place_order, charge, send_receipt, archive]) as service:
        who = Session("user-7", token="secret")
        await service.enqueue(place_order, Order("o-1"), metadata={"trace": "t-1"}, session=who)
        await Worker(service).run_until_idle()


asyncio.run(main())

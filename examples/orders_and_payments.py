"""An order and what follows it: follow-ups with their parent, a payment that is charged once, one shipment per order.

Runs on SQLite; WAYBILL_URL=redis://… runs it there.
"""

import asyncio
import logging
import os
from typing import TypedDict

from waybill import Job, JobContext, JobService, Unique, Worker

logging.disable()


class Order(TypedDict):
    order_id: str
    total: int


charged: list[str] = []
shipped: list[str] = []
mails: list[str] = []


class ProcessOrder(Job[Order]):
    queue = "orders"

    async def handle(self, payload: Order, ctx: JobContext) -> bool:
        self.info("processing", order_id=payload["order_id"])
        await ChargePayment().dispatch(payload)
        await Ship().dispatch(payload)
        await ConfirmByMail().dispatch(payload["order_id"])
        self.success("follow-ups are queued")
        return True


class ChargePayment(Job[Order]):
    queue = "payments"
    retry = 3

    async def handle(self, payload: Order, ctx: JobContext) -> None:
        async with ctx.once(f"charge:{payload['order_id']}") as first:
            if first:
                charged.append(f"{payload['order_id']}: {payload['total']}")


class Ship(Job[Order]):
    queue = "orders"
    unique = Unique(key=lambda order: order["order_id"], until="done", on_conflict="skip")
    delay = "20ms"

    async def handle(self, payload: Order) -> None:
        shipped.append(payload["order_id"])


class ConfirmByMail(Job[str]):
    queue = "emails"

    async def handle(self, payload: str, ctx: JobContext) -> None:
        mails.append(f"{payload} confirmed, sent by job {'with' if ctx.parent_id else 'without'} a parent")


async def main() -> None:
    url = os.environ.get("WAYBILL_URL", "sqlite:///orders.db")
    service = JobService(
        url,
        jobs=[ProcessOrder, ChargePayment, Ship, ConfirmByMail],
        queues=["payments", "orders", "emails"],
        namespace="orders",
    )
    async with service:
        order: Order = {"order_id": "o-1", "total": 42}
        await service.enqueue(ProcessOrder, order)
        await service.enqueue(ProcessOrder, order)  # the customer has clicked twice
        while not shipped or len(mails) < 2:
            await Worker(service).run_until_idle()
    print("charged", charged)
    print("shipped", shipped)
    print(*mails, sep="\n")
    assert charged == ["o-1: 42"]
    assert shipped == ["o-1"]
    assert len(mails) == 2


asyncio.run(main())

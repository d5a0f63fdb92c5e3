"""A job, a service that sends it and a worker that runs it, in one process."""

import asyncio
from dataclasses import dataclass

from waybill import JobContext, JobService, Worker, job


@dataclass
class Welcome:
    user_id: str
    locale: str = "en"


@job(name="send-welcome", queue="emails", retry=5, timeout="30s")
async def send_welcome(payload: Welcome, ctx: JobContext) -> None:
    print(f"{ctx.job_name}, attempt {ctx.attempt}: welcome {payload.user_id} ({payload.locale})")


async def main() -> None:
    async with JobService("memory://", jobs=[send_welcome]) as service:
        sent = await service.enqueue(send_welcome, Welcome("u1"))
        print(f"accepted: {sent.status} on {sent.queue}")
        await service.enqueue(send_welcome, Welcome("u2", locale="de"))
        ran = await Worker(service).run_until_idle()
        print(f"{ran} runs")


asyncio.run(main())

"""Welcome e-mails off the request path: a schema, hooks, retries, and a dead letter that is mended and sent back.

Runs on SQLite; WAYBILL_URL=redis://… runs it there.
"""

import asyncio
import logging
import os
from dataclasses import dataclass

from waybill import InvalidJobPayloadError, JobContext, JobExecution, JobService, PermanentJobError, Retry, Worker, job

logging.disable()  # the worker logs every failure; here they are printed

BLOCKED = {"bob@example.org"}
OUTBOX: list[str] = []


@dataclass
class Welcome:
    to: str | list[str]
    name: str
    locale: str = "en"


@job(name="send-welcome", queue="emails", retry=Retry(max_attempts=3, backoff="10ms"), timeout="30s")
async def send_welcome(payload: Welcome, ctx: JobContext) -> None:
    addresses = [payload.to] if isinstance(payload.to, str) else payload.to
    if BLOCKED.intersection(addresses):
        raise PermanentJobError(f"{payload.to} is blocked")
    if payload.name == "Carol" and ctx.attempt == 1:
        raise TimeoutError("the mail server does not answer")
    OUTBOX.append(f"{payload.name} ({payload.locale}), attempt {ctx.attempt}")


class UserService:
    """Gets the job service by injection, and answers at once."""

    def __init__(self, jobs: JobService) -> None:
        self.jobs = jobs

    async def register(self, email: str, name: str) -> dict[str, bool]:
        result = await self.jobs.enqueue(send_welcome, Welcome(email, name))
        return {"queued": bool(result)}


def given_up(job: JobExecution, ctx: JobContext | None, err: BaseException) -> None:
    print(f"  given up: {err}")


async def main() -> None:
    url = os.environ.get("WAYBILL_URL", "sqlite:///welcome.db")
    service = JobService(url, jobs=[send_welcome], namespace="welcome", on_job_dead_letter=given_up)
    async with service:
        users = UserService(service)
        for email, name in [("alice@example.org", "Alice"), ("bob@example.org", "Bob"), ("carol@example.org", "Carol")]:
            print(f"registering {name}: {await users.register(email, name)}")
        try:
            await service.enqueue("send-welcome", {"to": 7, "name": "Dave"})
        except InvalidJobPayloadError as refusal:
            print(f"refused before anything is sent: {refusal.issues[0]}")
        while len(OUTBOX) < 2:
            await Worker(service).run_until_idle()
        BLOCKED.clear()
        print(f"  sent back: {await service.retry_dead('emails')}")
        await Worker(service).run_until_idle()
    print("sent:", "; ".join(OUTBOX))
    assert sorted(OUTBOX) == ["Alice (en), attempt 1", "Bob (en), attempt 1", "Carol (en), attempt 2"]


asyncio.run(main())

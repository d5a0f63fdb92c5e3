"""A newsletter to ten thousand addresses: chunks, progress, and the urgent mail that overtakes them.

Runs on SQLite; WAYBILL_URL=redis://… runs it there.
"""

import asyncio
import os
import time

from waybill import JobService, ShowProgress, Worker, define_job

ADDRESSES = [f"reader-{number}@example.org" for number in range(10_000)]
sent: list[str] = []

letter = define_job(name="newsletter", handler=sent.append, schema=str, queue="newsletter")
reset = define_job(name="reset-password", handler=sent.append, schema=str, queue="urgent")


async def main() -> None:
    url = os.environ.get("WAYBILL_URL", "sqlite:///newsletter.db")
    service = JobService(url, jobs=[letter, reset], queues=["urgent", "newsletter"], namespace="newsletter")
    async with service:
        begun = time.perf_counter()
        result = await service.enqueue_many(letter, ADDRESSES, chunk_size=100, on_progress=ShowProgress("letters"))
        result.raise_for_failed()
        print(f"{len(result.ok) / (time.perf_counter() - begun):,.0f} a second")
        await service.enqueue(reset, "alice@example.org")
        await Worker(service, threads=8).run_until_idle()
    print(f"{len(sent):,} sent; the urgent one was number {sent.index('alice@example.org') + 1}")
    assert sorted(sent) == sorted([*ADDRESSES, "alice@example.org"])
    assert sent.index("alice@example.org") < 200


asyncio.run(main())

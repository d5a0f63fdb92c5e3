"""Sending from code that cannot await, and handlers that are plain functions."""

import asyncio
import threading
from dataclasses import dataclass

from waybill import JobContext, JobService, job
from waybill.testing import MemoryDriver, run_until_idle


@dataclass
class Photo:
    path: str


@job(timeout="30s")
def make_thumbnail(photo: Photo, ctx: JobContext) -> None:
    # Plain handlers run in threads, so blocking is fine. A long one looks at these flags now and then.
    if not (ctx.cancelled or ctx.shutting_down):
        print(f"  {photo.path}, on the event loop's thread: {threading.current_thread() is threading.main_thread()}")


# A real application passes a URL. This one shares a driver between the sender and the worker of one process.
service = JobService(MemoryDriver(), jobs=[make_thumbnail])


def view() -> str:
    """A view of Django or Flask, a script, a thread: anything that is not async."""
    return service.sync.enqueue(make_thumbnail, Photo("a.jpg")).status


def main() -> None:
    with service.sync:
        print(view())
        thread = threading.Thread(target=view)
        thread.start()
        thread.join()
        result = service.sync.enqueue_batch([(make_thumbnail, Photo(f"{number}.jpg")) for number in range(3)])
        print(result)
        print(f"waiting: {service.sync.stats('default').ready}")
    print(f"{asyncio.run(run_until_idle(service, threads=1))} runs")


main()

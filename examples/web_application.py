"""A web application that sends jobs and, in the same process, runs them: the whole of it is the lifespan.

The application below speaks plain ASGI and is driven by hand, so that the example needs no server.
Starlette, FastAPI and Litestar take `lifespan` as it is: `FastAPI(lifespan=lifespan)`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from waybill import JobService, Worker, job


@job
async def index_page(url: str) -> None:
    await asyncio.sleep(0.01)
    print(f"  indexed {url}")


service = JobService("memory://", jobs=[index_page])
worker = Worker(service, concurrency=10, grace="5s")


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    async with service, worker:  # leaving stops the worker gracefully, then closes the service
        yield


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        await receive()  # lifespan.startup
        async with lifespan(app):
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
        await send({"type": "lifespan.shutdown.complete"})
        return
    result = await service.enqueue(index_page, scope["path"])
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps({"job": result.status}).encode()})


async def main() -> None:
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    async with asyncio.TaskGroup() as server:
        server.create_task(app({"type": "lifespan"}, to_app.get, from_app.put))
        await to_app.put({"type": "lifespan.startup"})
        print((await from_app.get())["type"])
        for path in ("/a", "/b", "/c"):
            await app({"type": "http", "path": path}, to_app.get, from_app.put)
            start, body = await from_app.get(), await from_app.get()
            print(start["status"], body["body"].decode())
        await to_app.put({"type": "lifespan.shutdown"})
        print((await from_app.get())["type"])


asyncio.run(main())

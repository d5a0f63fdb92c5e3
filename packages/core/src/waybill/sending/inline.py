"""Running a job here and now, without a broker."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError, UnknownJobError
from ..jobs.context import Flag, JobContext
from ..jobs.current import current_context
from ..resources import JobResources, OpenResources, Resources, enter

if TYPE_CHECKING:
    from ..jobs.handler import Handler
    from .service import JobService


async def run_inline(service: JobService, job: Any, payload: Any) -> Any:
    """Validate, parse, run; the handler's value or its error."""
    prepared = service.rules.prepare(job, payload)
    registered = service.registry.find(prepared.job_name)
    if registered is None:
        raise UnknownJobError(prepared.job_name)
    here = registered.job if isinstance(job, (str, type)) else job
    if here.handler is None:
        raise ConfigurationError(f"{here.name} is a declaration without a handler; it can only be sent")
    _, parsed = here.payload_schema.encode(payload)
    async with entered_services(service.services) as services:
        ctx = JobContext(
            service=service,
            job_id=prepared.message.id,
            job_name=here.name,
            queue=prepared.queue,
            attempt=1,
            max_attempts=1,
            enqueued_at=prepared.enqueued_at,
            metadata=None,
            session=None,
            parent_id=None,
            services=services,
            shutting_down=Flag(),
        )
        token = current_context.set(ctx)
        try:
            async with job_resources(ctx):
                if here.handler.is_async:
                    return await here.handler.call(parsed, ctx)
                return await call_in_thread(here.handler, parsed, ctx, None)
        finally:
            current_context.reset(token)


async def call_in_thread(
    handler: Handler,
    payload: Any,
    ctx: JobContext,
    pool: Executor | None,
    begun: Callable[[], object] = lambda: None,
) -> Any:
    """Run a plain handler off the event loop, in the caller's context; *begun* is called on its thread first."""
    context = contextvars.copy_context()

    def work() -> Any:
        begun()
        try:
            return context.run(handler.call, payload, ctx)
        except (StopIteration, GeneratorExit) as error:  # no future carries these to its waiter
            raise RuntimeError(f"the handler raised {type(error).__name__}") from error

    result = await asyncio.get_running_loop().run_in_executor(pool, work)
    return await result if inspect.isawaitable(result) else result


@asynccontextmanager
async def entered_services(given: Any) -> AsyncIterator[Any]:
    """What handlers find as `ctx.services`: a factory is called, and a context manager it returns is entered."""
    if isinstance(given, Mapping) and given and all(isinstance(each, type) for each in given):
        given = Resources(given)
    if isinstance(given, Resources):
        async with given.opened() as resources:
            yield resources
        return
    if not callable(given):
        yield given
        return
    made: Any = given()
    if inspect.isawaitable(made):
        made = await made
    async with AsyncExitStack() as stack:
        yield await enter(made, stack)


def job_resources(ctx: JobContext) -> AbstractAsyncContextManager[object]:
    """Closes what the job makes of its own, when the handler has ended."""
    services = ctx.services
    if not isinstance(services, OpenResources):
        return _nothing_to_close
    ctx.resources = JobResources(services)
    return ctx.resources


_nothing_to_close: Final = nullcontext()

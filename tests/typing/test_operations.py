"""Schedules, many payloads, resources and the keys of each namespace, for type checkers."""

from typing import assert_type

from waybill import EnqueueResult, Job, JobContext, JobService, Schedule, define_periodic_job, job


class Mailer: ...


@job
async def greet(payload: str, ctx: JobContext) -> None:
    assert_type(ctx.resource(Mailer), Mailer)
    assert_type(await ctx.async_resource(Mailer), Mailer)
    assert_type(await ctx.once("greet"), bool)


nightly = define_periodic_job(name="nightly", handler=lambda: None, schedule=Schedule(cron="0 3 * * *"))
hourly = Schedule(every="1h")


async def right(service: JobService) -> None:
    assert_type(await service.dispatch(greet, "a", schedule=hourly, schedule_id="s", retries=2), EnqueueResult)
    await service.dispatch(nightly, schedule=hourly)
    await greet.dispatch("a", schedule=hourly)
    await service.enqueue_many(greet, ["a", "b"], chunk_size=10)
    assert_type([each.schedule_id for each in await service.schedules()], list[str])
    assert_type(greet.with_delay("1m"), Job[str, None])
    await service.ops.features.dispatch({"env": "prd", "product": "p", "tag": "t", "input": {}}, retries=2)
    await service.ops.databases.action.dispatch(
        {"env": "prd", "product": "p", "database": "d", "event": "e", "input": {"query": {}}}
    )
    await service.enqueue_many("by-name", [1, 2])


async def wrong(service: JobService) -> None:
    await service.dispatch(greet, 5, schedule=hourly)  # type: ignore[arg-type]
    await greet.dispatch(5, schedule=hourly)  # type: ignore[arg-type]
    await service.enqueue_many(greet, [5])  # type: ignore[misc]
    define_periodic_job(name="p", handler=lambda: None, schedule="0 3 * * *")  # type: ignore[arg-type]
    await service.ops.features.dispatch({"env": "prd", "product": "p", "input": {}})  # type: ignore[typeddict-item]
    await service.ops.graphs.dispatch({"env": "e", "product": "p", "graph": "g", "input": {}})  # type: ignore[typeddict-item]

"""The keys of each namespace, for type checkers."""

from waybill import JobService


async def right(service: JobService) -> None:
    await service.ops.features.dispatch({"env": "prd", "product": "p", "tag": "t", "input": {}}, retries=2)
    await service.ops.databases.action.dispatch(
        {"env": "prd", "product": "p", "database": "d", "event": "e", "input": {"query": {}}}
    )
    await service.enqueue_many("by-name", [1, 2])


async def wrong(service: JobService) -> None:
    await service.ops.features.dispatch({"env": "prd", "product": "p", "input": {}})  # type: ignore[typeddict-item]
    await service.ops.graphs.dispatch({"env": "e", "product": "p", "graph": "g", "input": {}})  # type: ignore[typeddict-item]

"""What type checkers infer of jobs, and what they refuse; it runs as a test only to be sure that it can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from waybill import EnqueueResult, Job, JobContext, JobService, define_job, job


class Order(TypedDict):
    number: int


@dataclass
class Welcome:
    user_id: str


@job
async def welcome(payload: Welcome, ctx: JobContext) -> int:
    return len(payload.user_id)


@job(name="plain", queue="emails", retry=3, timeout="30s")
def plain(payload: Order) -> None: ...


@job
async def nightly(ctx: JobContext) -> None: ...


@job
def ping() -> str:
    return "pong"


class SendOrder(Job[Order]):
    queue = "orders"
    retry = 5
    delay = "1m"

    async def handle(self, payload: Order, ctx: JobContext) -> None: ...


class OnlyPayload(Job[Welcome]):
    async def handle(self, payload: Welcome) -> None: ...


class Nothing(Job[None]):
    def handle(self) -> None: ...


declared = define_job(name="declared", schema=Welcome)
anything: Job[Any, Any] = define_job(name="anything")
numbers: Job[list[int | str], None] = define_job(name="numbers", schema=list[int | str])


def test_front_ends_infer_payload_and_result() -> None:
    assert_type(welcome, Job[Welcome, int])
    assert_type(plain, Job[Order, None])
    assert_type(nightly, Job[None, None])
    assert_type(ping, Job[None, str])
    assert_type(declared, Job[Welcome, Any])


async def accepted(service: JobService) -> None:
    assert_type(await service.enqueue(welcome, Welcome("u")), EnqueueResult)
    await service.enqueue(plain, {"number": 1}, job_id="x", queue="emails", priority=3, retries=2)
    await service.enqueue(numbers, [1, "a"], metadata={"k": 1})
    await service.enqueue(SendOrder, {"number": 1})
    await service.enqueue(SendOrder(), {"number": 1})
    await service.enqueue(OnlyPayload, Welcome("u"))
    await service.enqueue(nightly)
    await service.enqueue(nightly, job_id="x", queue="reports")
    await service.enqueue(Nothing)
    await service.enqueue_in(nightly, None, "1m")
    await service.enqueue("by-name", {"q": 1}, queue="default")
    await service.enqueue(anything, {"q": 1})
    await service.enqueue_in(plain, {"number": 1}, "10m", job_id="k")
    await service.enqueue_in(welcome, Welcome("u"), 5)
    await service.enqueue_at(welcome, Welcome("u"), "2026-01-01T00:00:00Z")
    await service.enqueue_batch([welcome.call(Welcome("u")), plain.call({"number": 1}, delay="1m")])
    await service.enqueue_batch([(welcome, Welcome("u")), (SendOrder, {"number": 1})])
    await welcome.dispatch(Welcome("u"), delay="1m")
    await nightly.dispatch()
    assert_type(await welcome.dispatch_now(Welcome("u")), int)
    service.sync.enqueue(plain, {"number": 1})
    service.sync.enqueue_in(welcome, Welcome("u"), "1m")


async def refused(service: JobService) -> None:
    await service.enqueue(welcome, 3)  # type: ignore[call-overload]  # wrong payload
    await service.enqueue(plain, {"number": "x"})  # type: ignore[call-overload]  # wrong field
    await service.enqueue(welcome)  # type: ignore[arg-type]  # payload missing
    await service.enqueue(welcome, Welcome("u"), jobid="x")  # type: ignore[call-arg]  # misspelt option
    await service.enqueue(SendOrder, {"number": "x"})  # type: ignore[call-overload]
    await service.enqueue_in(welcome, 3, "1m")  # type: ignore[call-overload]
    await service.enqueue_batch([welcome.call(3)])  # type: ignore[arg-type]
    await welcome.dispatch(3)  # type: ignore[arg-type]
    service.sync.enqueue(welcome, 3)  # type: ignore[call-overload]

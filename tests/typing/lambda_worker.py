"""The handler of a Lambda function is typed."""

from typing import Any, assert_type

from waybill import JobContext, JobService, job
from waybill_sqs import LambdaWorker, SqsDriver, bootstrap_worker
from waybill_sqs.testing import sqs_event


@job
async def resize(payload: str, ctx: JobContext) -> None: ...


def make() -> JobService:
    return JobService("sqs://eu-west-1", jobs=[resize])


def told(err: BaseException) -> None: ...


def handlers_are_typed() -> None:  # never called, as a function opens its queues at once
    lambda_handler = bootstrap_worker(make())
    assert_type(lambda_handler, LambdaWorker)
    assert_type(lambda_handler({"jobName": "resize", "payload": "cat.png"}, None), dict[str, Any])
    assert_type(sqs_event([resize.call("cat.png"), (resize, "dog.png")]), dict[str, Any])

    bootstrap_worker(make, SqsDriver("sqs://eu-west-1"), concurrency=10, threads=2, margin="5s", on_job_failed=told)
    bootstrap_worker(make, "sqs://eu-west-1")
    bootstrap_worker("sqs://eu-west-1")  # type: ignore[arg-type]
    bootstrap_worker(make, margin=5)  # type: ignore[arg-type]

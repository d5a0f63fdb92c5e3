"""Testing a Lambda function's jobs: the event that SQS would hand to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from waybill.driver import Message
from waybill.jobs.job import Call, Job
from waybill.jobs.registry import JobRegistry
from waybill.retry import Retry
from waybill.sending.preparing import Rules
from waybill.timing import SystemClock

from .names import Names, Place
from .records import to_body

_ACCOUNT: Final = "123456789012"
_ANY_SIZE: Final = 2**20  # bytes: what SQS takes


def sqs_event(
    items: Iterable[object],
    *,
    queue: str | None = None,
    fifo: bool = False,
    attempt: int = 1,
    prefix: str = "waybill",
    region: str = "eu-west-1",
) -> dict[str, Any]:
    """The event with which SQS would hand *items* to a function.

    An item is what was sent (`driver.enqueued` of a `MemoryDriver`, or its messages), what `enqueue_batch` takes
    (`job.call(payload)`, `(job, payload)`, a job without payload), or the body of a foreign producer: an object, or
    text as it is.

    Args:
        items: in the order of the event.
        queue: where they are said to come from; by default the queue of each, or "default".
        fifo: from a FIFO queue, in the groups of the messages; the queue's own group for those without one.
        attempt: which delivery this is said to be, for all of them.
        prefix: of the queues' names on SQS, as the driver's `prefix=`.
        region: in the queues' ARNs.
    """
    rules = Rules(JobRegistry("default", Retry()), None, _ANY_SIZE, None, SystemClock())
    names = Names(prefix, fifo)
    records = []
    for number, item in enumerate(items, 1):
        message = _message(item, rules)
        body = to_body(message) if message is not None else item if isinstance(item, str) else json.dumps(item)
        where = queue or (message.queue if message is not None else "default")
        group = message.group if message is not None and message.group is not None else where
        digest = hashlib.md5(body.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        order = {"MessageGroupId": group, "MessageDeduplicationId": digest, "SequenceNumber": f"{number:020}"}
        records.append(
            {
                "messageId": f"00000000-0000-4000-8000-{number:012}",
                "receiptHandle": f"receipt-{number}",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": str(attempt),
                    "SentTimestamp": "1767225600000",
                    "SenderId": "AIDAEXAMPLE",
                    "ApproximateFirstReceiveTimestamp": "1767225600001",
                    **(order if fifo else {}),
                },
                "messageAttributes": {},
                "md5OfBody": digest,
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{region}:{_ACCOUNT}:{names.of(Place(where))}",
                "awsRegion": region,
            }
        )
    return {"Records": records}


def _message(item: object, rules: Rules) -> Message | None:
    """The message an item stands for; None: it is a body."""
    item = getattr(item, "message", item)  # of what a MemoryDriver recorded, or a Delivery
    if isinstance(item, Message):
        return item
    if isinstance(item, Job) or (isinstance(item, type) and issubclass(item, Job)):
        item = Call(item, None)
    if isinstance(item, tuple):
        item = Call(*item)
    if isinstance(item, Call):
        return rules.prepare(item.job, item.payload, **(item.options or {})).message
    if isinstance(item, (str, Mapping)):
        return None
    raise TypeError(f"{item!r} is no message, no call of a job and no body; pass job.call(payload), or (job, payload)")

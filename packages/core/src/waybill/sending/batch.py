"""Sending many jobs at once: check all, then as few round trips as the brokers allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import DuplicateJobError, EnqueueError, EnqueueValueError, as_enqueue_error
from ..jobs.job import Call
from ..result import BatchResult, EnqueueResult
from .broker import Broker
from .preparing import Prepared, Rules

if TYPE_CHECKING:
    from .service import JobService

Progress = Callable[[int, int], object]


async def send_batch(service: JobService, items: Iterable[Any], on_progress: Progress | None) -> BatchResult:
    """Send Calls and (job, payload) pairs; one outcome per item, in order.

    Raises:
        EnqueueError: an item is refused by the checks; nothing was sent.
    """
    prepared = _prepare_all(service.rules, list(items))
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if on_progress is not None:
            on_progress(done, len(prepared))

    by_broker: dict[Broker, list[int]] = {}
    for index, each in enumerate(prepared):
        by_broker.setdefault(service.broker_of(each.queue), []).append(index)
    outcomes: dict[int, EnqueueResult | EnqueueError] = {}
    for broker, indices in by_broker.items():
        sent = await _send_to(service, broker, [prepared[index] for index in indices], progress)
        outcomes.update(zip(indices, sent, strict=True))
    result = BatchResult([outcomes[index] for index in range(len(prepared))])
    if service.hooks.wants("job_enqueued"):
        for each, outcome in zip(prepared, result, strict=True):
            if isinstance(outcome, EnqueueResult) and outcome.status != "duplicate":
                await service.announce(each, outcome)
    return result


def _prepare_all(rules: Rules, items: Sequence[Any]) -> list[Prepared]:
    prepared: list[Prepared] = []
    for index, item in enumerate(items):
        try:
            call = _as_call(item)
            prepared.append(rules.prepare(call, **(call.options or {})))
        except Exception as error:
            error.add_note(f"item {index} of {len(items)}; nothing of this batch was sent")
            if isinstance(error, (EnqueueError, TypeError)):
                raise
            raise as_enqueue_error(error, "") from error
    return prepared


async def _send_to(
    service: JobService, broker: Broker, batch: Sequence[Prepared], progress: Callable[[int], None]
) -> list[EnqueueResult | EnqueueError]:
    try:
        connection = await service.connect(broker)
        parcels = [(connection.fit(each.message, each.due, each.job_name), each.due) for each in batch]
    except EnqueueError:
        raise
    except Exception as error:
        raise as_enqueue_error(error, "") from error
    outcomes = await connection.send_many(parcels, progress)
    return [_told(each, outcome) for each, outcome in zip(batch, outcomes, strict=True)]


def _as_call(item: Any) -> Call:
    if isinstance(item, Call):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        return Call(*item)
    raise EnqueueValueError(f"an item of a batch is job.call(payload) or (job, payload), not {item!r}")


def _told(prepared: Prepared, outcome: str | EnqueueError) -> EnqueueResult | EnqueueError:
    if isinstance(outcome, str):
        return prepared.accepted(outcome)
    if not isinstance(outcome, DuplicateJobError):
        return outcome
    try:
        return prepared.duplicate(outcome)
    except DuplicateJobError as error:
        return error

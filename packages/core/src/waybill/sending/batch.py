"""Sending many jobs at once: check all, then as few round trips as the brokers allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import DuplicateJobError, EnqueueError, EnqueueValueError, as_enqueue_error
from ..jobs.job import Call
from ..result import BatchResult, EnqueueResult
from .broker import Broker
from .connection import Connection, Parcel
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

    outcomes: list[EnqueueResult | EnqueueError | str] = [""] * len(prepared)
    for indices, connection, parcels in [
        await _ready(service, *each, prepared) for each in _by_broker(service, prepared)
    ]:
        for index, sent in zip(indices, await connection.send_many(parcels, progress), strict=True):
            outcomes[index] = _told(prepared[index], sent) if isinstance(sent, DuplicateJobError) else sent
    result = BatchResult(outcomes, lambda index, message_id: prepared[index].accepted(message_id))
    if service.hooks.wants("job_enqueued"):
        for each, outcome in zip(prepared, result, strict=True):
            if isinstance(outcome, EnqueueResult) and outcome.status != "duplicate":
                await service.announce(each, outcome)
    return result


def _prepare_all(rules: Rules, items: Sequence[Any]) -> list[Prepared]:
    prepared: list[Prepared] = []
    now = rules.clock.now()
    for index, item in enumerate(items):
        try:
            if isinstance(item, Call):
                prepared.append(rules.prepare(item.job, item.payload, item.due, now, **(item.options or {})))
            elif isinstance(item, (tuple, list)) and len(item) == 2:
                job, payload = item
                prepared.append(rules.prepare(job, payload, None, now))
            else:
                raise EnqueueValueError(f"an item of a batch is job.call(payload) or (job, payload), not {item!r}")
        except Exception as error:
            refusal = error if isinstance(error, (EnqueueError, TypeError)) else as_enqueue_error(error, None)
            refusal.add_note(f"item {index} of {len(items)}; nothing of this batch was sent")
            raise refusal from error.__cause__ if refusal is error else error
    return prepared


def _by_broker(service: JobService, prepared: Sequence[Prepared]) -> list[tuple[Broker, Sequence[int]]]:
    """The items that go to each broker, by their index."""
    if not service.brokers:
        return [(service.broker, range(len(prepared)))]
    found: dict[Broker, list[int]] = {}
    for index, each in enumerate(prepared):
        found.setdefault(service.broker_of(each.queue), []).append(index)
    return list(found.items())


async def _ready(
    service: JobService, broker: Broker, indices: Sequence[int], prepared: Sequence[Prepared]
) -> tuple[Sequence[int], Connection, list[Parcel]]:
    """Connected and held against the broker's limits; every broker is, before anything is sent to one."""
    chosen = [prepared[index] for index in indices]
    try:
        connection = await service.connect(broker)
        return (
            indices,
            connection,
            [(connection.fit(each.message, each.due, each.job_name), each.due) for each in chosen],
        )
    except EnqueueError:
        raise
    except Exception as error:
        raise as_enqueue_error(error, None) from error


def _told(prepared: Prepared, conflict: DuplicateJobError) -> EnqueueResult | EnqueueError:
    try:
        return prepared.duplicate(conflict)
    except DuplicateJobError as error:
        return error

"""Sending one job for many payloads, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import EnqueueError, EnqueueValueError
from ..jobs.job import Call, SendOptions
from ..result import BatchResult, EnqueueResult
from .batch import send_batch

if TYPE_CHECKING:
    from .service import JobService


async def send_many(
    service: JobService,
    job: Any,
    payloads: Iterable[Any],
    options: Mapping[str, Any],
    *,
    chunk_size: Any,
    on_progress: Callable[[int, int], object] | None,
) -> BatchResult:
    """One outcome per payload, in order.

    Raises:
        EnqueueError: a payload is refused by the checks; nothing of its chunk was sent, the chunks before were.
    """
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise EnqueueValueError(f"chunk_size is a whole number from 1, not {chunk_size!r}. Nothing was sent.")
    listed = payloads if isinstance(payloads, Sequence) else list(payloads)
    given: SendOptions = {**options}  # type: ignore[typeddict-item]  # what is unknown is refused by the first call
    outcomes: list[EnqueueResult | EnqueueError | str] = []
    for start in range(0, len(listed), chunk_size):
        chunk = [Call(job, each, None, given) for each in listed[start : start + chunk_size]]
        try:
            outcomes += await send_batch(service, chunk, None)
        except EnqueueError as error:
            error.add_note(f"the {start} payloads before this chunk were sent")
            raise
        if on_progress is not None:
            on_progress(len(outcomes), len(listed))
    return BatchResult(outcomes, _never)


def _never(index: int, message_id: str) -> EnqueueResult:
    raise AssertionError

"""What the sending verbs return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, overload

from .errors import EnqueueError


@dataclass(frozen=True, slots=True)
class EnqueueResult:
    """An accepted job; always true. Moments are aware UTC."""

    job_id: str
    message_id: str
    queue: str
    status: Literal["queued", "scheduled", "duplicate"] = "queued"
    scheduled_at: datetime | None = None
    recurring: bool = False
    next_run_at: datetime | None = None
    schedule_id: str | None = None


@dataclass(frozen=True, slots=True)
class EnqueueFailure:
    """What `try_dispatch` returns instead of raising; always false."""

    error: EnqueueError

    def __bool__(self) -> bool:
        return False


class BatchResult(Sequence["EnqueueResult | EnqueueError"]):
    """One outcome per item, in input order; a failed item is its exception."""

    def __init__(self, outcomes: Sequence[EnqueueResult | EnqueueError]) -> None:
        self._outcomes = list(outcomes)

    @property
    def ok(self) -> list[EnqueueResult]:
        """What was accepted."""
        return [each for each in self._outcomes if isinstance(each, EnqueueResult)]

    @property
    def failed(self) -> list[EnqueueError]:
        """What was not."""
        return [each for each in self._outcomes if isinstance(each, EnqueueError)]

    def raise_for_failed(self) -> None:
        """Raise the first failure, saying how many there are.

        Raises:
            EnqueueError: at least one item failed.
        """
        if self.failed:
            first = self.failed[0]
            first.add_note(f"{len(self.failed)} of {len(self)} items of this batch failed; the others were accepted")
            raise first

    @overload
    def __getitem__(self, index: int) -> EnqueueResult | EnqueueError: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[EnqueueResult | EnqueueError]: ...
    def __getitem__(self, index: int | slice) -> EnqueueResult | EnqueueError | Sequence[EnqueueResult | EnqueueError]:
        return self._outcomes[index]

    def __len__(self) -> int:
        return len(self._outcomes)

    def __iter__(self) -> Iterator[EnqueueResult | EnqueueError]:
        return iter(self._outcomes)

    def __repr__(self) -> str:
        return f"BatchResult({len(self.ok)} ok, {len(self.failed)} failed)"

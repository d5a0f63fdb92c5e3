"""What the sending verbs return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

    def __init__(
        self, outcomes: Sequence[EnqueueResult | EnqueueError | str], accepted: Callable[[int, str], EnqueueResult]
    ) -> None:
        """Keep the outcomes; a broker's id becomes a result when it is looked at, as few of many are."""
        self._outcomes = list(outcomes)
        self._accepted = accepted

    def _outcome(self, index: int) -> EnqueueResult | EnqueueError:
        outcome = self._outcomes[index]
        if isinstance(outcome, str):
            outcome = self._outcomes[index] = self._accepted(index, outcome)
        return outcome

    @property
    def ok(self) -> list[EnqueueResult]:
        """What was accepted."""
        return [each for each in self if isinstance(each, EnqueueResult)]

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
        if isinstance(index, slice):
            return [self._outcome(each) for each in range(len(self))[index]]
        return self._outcome(range(len(self))[index])

    def __len__(self) -> int:
        return len(self._outcomes)

    def __iter__(self) -> Iterator[EnqueueResult | EnqueueError]:
        return map(self._outcome, range(len(self)))

    def __repr__(self) -> str:
        failed = len(self.failed)
        return f"BatchResult({len(self) - failed} ok, {failed} failed)"

"""The time that is left in a function, shared out between running jobs and telling SQS what became of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

_LONGEST_MARGIN: Final = 3.0  # seconds
_SHORTEST_MARGIN: Final = 0.25
_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Deadline:
    """When to do what, in seconds of `time.monotonic()`; infinity where nobody tells the time left."""

    stop: float = float("inf")
    """Nothing begins any more, and handlers see `ctx.shutting_down`."""
    interrupt: float = float("inf")
    """Handlers that still run are cancelled."""
    abandon: float = float("inf")
    """What has not ended is given back, whether it goes on or not."""
    settled: float = float("inf")
    """Nobody waits any longer for SQS to be told."""
    answer: float = float("inf")
    """Lambda is answered, whatever happened."""

    @classmethod
    def of(cls, context: object, margin: timedelta | None = None) -> Deadline:
        """What a Lambda context comes to.

        Args:
            context: says `get_remaining_time_in_millis()`; anything else sets no deadline, as in a test.
            margin: to end and settle jobs; by default a fifth of the time, at most 3 s.
        """
        ask = getattr(context, "get_remaining_time_in_millis", None)
        left = ask() if callable(ask) else None
        if isinstance(left, bool) or not isinstance(left, (int, float)):
            return cls()
        left /= 1000
        kept = max(_SHORTEST_MARGIN, min(_LONGEST_MARGIN, left * _SHARE)) if margin is None else margin.total_seconds()
        end = time.monotonic() + left
        return cls(end - kept, end - kept * 0.7, end - kept * 0.4, end - kept * 0.2, end - kept * 0.1)

    def until(self, moment: float) -> float | None:
        """The seconds until one of its moments, as timeouts are given: None is for ever."""
        return None if moment == float("inf") else max(moment - time.monotonic(), 0.0)

    def is_over(self, moment: float) -> bool:
        """Whether one of its moments has passed."""
        return time.monotonic() >= moment

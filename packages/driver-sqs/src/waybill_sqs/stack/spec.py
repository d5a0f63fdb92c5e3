"""What a template is asked for, and refused for what AWS would refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from waybill.errors import ConfigurationError

from ..options import SqsOptions

_SECOND: Final = timedelta(seconds=1)
_LONGEST: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """An application on AWS.

    Raises:
        ConfigurationError: AWS would refuse it.
    """

    queues: Sequence[str]
    """Their names, as the driver gets them."""
    options: SqsOptions = field(default_factory=SqsOptions)
    handler: str = "app.lambda_handler"
    scheduler_handler: str = "scheduler.lambda_handler"
    """Of the function that scheduler="dynamodb" needs."""
    runtime: str = "python3.12"
    code: str = "."
    timeout: timedelta = timedelta(seconds=60)
    memory: int = 512
    """MiB."""
    batch_size: int = 10
    max_concurrency: int | None = None
    """Batches of a queue at a time, from 2."""

    def __post_init__(self) -> None:
        largest = 10 if self.options.fifo else 10_000
        for holds, told in (
            (self.queues, "a stack has at least one queue"),
            (
                _SECOND <= self.timeout <= _LONGEST and not self.timeout % _SECOND,
                f"a function's timeout is from 1 s to 15 minutes, in whole seconds, not {self.timeout}",
            ),
            (1 <= self.batch_size <= largest, f"a batch has 1 to {largest:,} messages, not {self.batch_size:,}"),
            (128 <= self.memory <= 10_240, f"a function has 128 to 10,240 MiB of memory, not {self.memory:,}"),
            (
                self.max_concurrency is None or 2 <= self.max_concurrency <= 1000,
                f"2 to 1,000 batches of a queue can be limited to, not {self.max_concurrency}",
            ),
        ):
            if not holds:
                raise ConfigurationError(f"{told}. Nothing was written")

"""What every contender can be asked; each answer is one figure, taken in a fresh process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

PAYLOAD = {"user_id": "u-0000000001", "locale": "en", "text": "x" * 120}
"""About 200 bytes once it is wrapped."""


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    name: str
    unit: str
    better: Literal["higher", "lower"]


ROWS = {
    "enqueue_1": Row("enqueue, one by one", "jobs/s", "higher"),
    "enqueue_16": Row("enqueue, 16 concurrent", "jobs/s", "higher"),
    "enqueue_256": Row("enqueue, 256 concurrent", "jobs/s", "higher"),
    "batch_100": Row("enqueue, batches of 100", "jobs/s", "higher"),
    "batch_1000": Row("enqueue, batches of 1000", "jobs/s", "higher"),
    "drain": Row("drain, no-op async jobs", "jobs/s", "higher"),
    "drain_plain": Row("drain, no-op plain jobs", "jobs/s", "higher"),
    "pickup_p50": Row("pick-up across processes, p50", "ms", "lower"),
    "pickup_p99": Row("pick-up across processes, p99", "ms", "lower"),
    "pickup_inside_p50": Row("pick-up in the process, p50", "ms", "lower"),
    "pickup_inside_p99": Row("pick-up in the process, p99", "ms", "lower"),
    "idle_cpu": Row("idle worker's CPU", "%", "lower"),
    "memory_1m": Row("worker's memory, 1 M jobs waiting", "MiB", "lower"),
    "import": Row("import, above bare Python", "ms", "lower"),
}

Figures = dict[str, float]
Measurement = Callable[[str], Figures]
"""From a path for the database file to some of the rows."""

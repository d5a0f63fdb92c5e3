"""The lines of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One line."""

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
    "drain_cpu": Row("worker's CPU per job of it", "µs", "lower"),
    "drain_plain": Row("drain, no-op plain jobs", "jobs/s", "higher"),
    "pickup_p50": Row("pick-up across processes, p50", "ms", "lower"),
    "pickup_p99": Row("pick-up across processes, p99", "ms", "lower"),
    "pickup_inside_p50": Row("pick-up in the process, p50", "ms", "lower"),
    "pickup_inside_p99": Row("pick-up in the process, p99", "ms", "lower"),
    "delayed_p50": Row("lateness of delayed jobs, p50", "ms", "lower"),
    "delayed_p99": Row("lateness of delayed jobs, p99", "ms", "lower"),
    "delayed_early": Row("delayed jobs that came early", "of 200", "lower"),
    "idle_cpu": Row("idle worker's CPU", "%", "lower"),
    "memory_1m": Row("worker's memory, 1 M jobs waiting", "MiB", "lower"),
    "server_bytes": Row("server's memory per waiting job", "bytes", "lower"),
    "import": Row("import, above bare Python", "ms", "lower"),
}

Figures = dict[str, float]
"""By row."""

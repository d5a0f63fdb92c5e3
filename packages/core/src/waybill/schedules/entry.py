"""A schedule as `service.schedules()` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from .schedule import Schedule


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule and how far it has come. Moments are aware UTC."""

    schedule_id: str
    job_name: str
    queue: str
    schedule: Schedule
    status: Literal["active", "finished"]
    next_run_at: datetime | None
    """None once it is finished."""
    last_run_at: datetime | None
    runs: int
    """How many were fired."""
    payload: Any
    metadata: Mapping[str, Any]
    declared: bool
    """By a job's definition; only its workers fire it."""

"""What the handlers wrote down, and whether it may be so: nothing lost, nothing early, every repeat with a cause."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

CLOCKS = 0.01
"""Seconds by which two readings of the time may differ."""
LONGEST_DELAY = 5.0
"""Seconds."""


@dataclass
class Run:
    """One run of one job's handler."""

    attempt: int
    pid: int
    began: float
    ended: float | None = None


@dataclass
class Events:
    """What was done meanwhile."""

    accepted: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    """Jobs whose sending had an unknown outcome, and that were sent again."""
    due: dict[str, float] = field(default_factory=dict)
    """When a delayed job may begin, at the earliest."""
    killed: set[int] = field(default_factory=set)
    """Workers."""
    outages: list[tuple[float, float]] = field(default_factory=list)
    """From just before each kill of the server until it served again."""
    repeats_are_safe: bool = True
    """Whether the driver stores nothing when an id is sent again, not even when its job is done."""
    exact_attempts: bool = True


class Ledger:
    """The file, as far as it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, list[Run]] = defaultdict(list)
        self._open: dict[tuple[str, str, str], list[Run]] = defaultdict(list)  # several, if it was stored twice
        self._read = 0

    def read(self) -> Ledger:
        """Go on reading."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")  # the last line may still be on its way
            self._read += len(whole + end)
            for line in whole.decode().splitlines():
                what, job_id, attempt, pid, at = line.split()
                if what == "start":
                    run = Run(int(attempt), int(pid), float(at))
                    self._open[job_id, attempt, pid].append(run)
                    self.runs[job_id].append(run)
                else:
                    self._open[job_id, attempt, pid].pop(0).ended = float(at)
        return self

    @property
    def finished(self) -> set[str]:
        return {job_id for job_id, runs in self.runs.items() if any(run.ended for run in runs)}

    @property
    def working(self) -> set[int]:
        """Workers that have begun something."""
        return {run.pid for runs in self.runs.values() for run in runs}

    @property
    def repeated(self) -> dict[str, list[Run]]:
        return {job_id: runs for job_id, runs in self.runs.items() if len(runs) > 1}

    def judge(self, events: Events) -> None:
        """Hold the runs to what may be.

        Raises:
            AssertionError: something was lost, early, or repeated without a cause.
        """
        missing = events.accepted - self.finished
        assert not missing, f"{len(missing)} of {len(events.accepted)} accepted jobs are lost: {sorted(missing)[:5]}"
        strangers = self.runs.keys() - events.accepted - events.unknown
        assert not strangers, f"{len(strangers)} jobs ran whose sending was refused: {sorted(strangers)[:5]}"
        for job_id, due in events.due.items():
            for run in self.runs[job_id]:
                assert run.began >= due - CLOCKS, f"{job_id} began {due - run.began:.3f} s before its time"
        for job_id, runs in self.repeated.items():
            for earlier, later in itertools.pairwise(runs):
                self._explain(job_id, earlier, later, events)
        most = 1 + len(events.killed) + len(events.outages)
        for job_id, runs in self.runs.items():
            # An attempt that left no line was received by a worker that was killed before the handler began.
            assert runs[-1].attempt <= most, f"{job_id}: attempt {runs[-1].attempt} after {most - 1} kills"

    def _explain(self, job_id: str, earlier: Run, later: Run, events: Events) -> None:
        # What waits for its time travels from queue to queue, and whoever is killed may have sent it on already.
        was_on_its_way = any(
            gone - 1 <= events.due.get(job_id, 0) <= back + LONGEST_DELAY for gone, back in events.outages
        )
        stored_twice = (job_id in events.unknown or was_on_its_way) and not events.repeats_are_safe
        over_an_outage = any(
            earlier.began <= back + CLOCKS and (earlier.ended is None or earlier.ended >= gone - 1)
            for gone, back in events.outages
        )
        assert earlier.pid in events.killed or over_an_outage or stored_twice, (
            f"{job_id} ran again though neither its worker nor the server was killed: {earlier}, {later}; it was due at "
            f"{events.due.get(job_id)}, and the server was away in {events.outages}"
        )
        forgot = over_an_outage and not events.exact_attempts
        assert later.attempt > earlier.attempt or stored_twice or forgot, (
            f"{job_id}: attempts do not count up: {earlier}, {later}"
        )

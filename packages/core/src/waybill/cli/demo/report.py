"""The balance of a demo: what was accepted, what became of it, and why anything ran twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .ledger import Entry

KILLED = "their worker was killed"
LEASE = "their lease ran out"
UNEXPLAINED = "nobody knows why"


@dataclass(frozen=True)
class Report:
    """What the demo found. `faults` is empty when everything adds up."""

    accepted: int
    finished: int
    dead: dict[str, str]
    """Job id to reason."""
    missing: list[str]
    files: int
    lines: int
    functions: int
    classes: int
    retries: int
    repeated: dict[str, int]
    """Runs that began again although the one before did not fail, by cause."""
    finished_twice: int
    reminders: int
    earliest: float
    """Seconds after its time at which the most punctual reminder ran; negative would be early."""
    latest: float
    urgent: int
    urgent_rank: int
    """The last urgent job was the how manyth of all to start."""
    seconds: float
    faults: list[str] = field(default_factory=list)

    @property
    def jobs_per_second(self) -> float:
        return (self.finished + len(self.dead)) / self.seconds


def balance(
    entries: Sequence[Entry],
    accepted: Collection[str],
    dead: Mapping[str, str],
    *,
    killed: Collection[int],
    lease: float,
    slots: int,
    seconds: float,
) -> Report:
    """Add up a ledger.

    Args:
        entries: the ledger.
        accepted: the ids of all jobs the broker confirmed.
        dead: the reasons of those it keeps as dead letters.
        killed: the processes that were killed.
        lease: seconds after which a silent worker's job comes back.
        slots: how many jobs all workers run at a time; so many may have begun beside the urgent ones.
        seconds: how long the workers took.
    """
    finishes = Counter(each.id for each in entries if each.event == "finish")
    first: dict[str, dict[str, Any]] = {}
    for each in entries:
        if each.event == "finish":
            first.setdefault(each.id, each.facts | {"job": each.job})
    files = [each for each in first.values() if each["job"] == "measure"]
    late = [each["late"] for each in first.values() if each["job"] == "remind"]
    order = list(dict.fromkeys(each.id for each in entries if each.event == "start"))
    urgent = [rank for rank, id_ in enumerate(order, 1) if first.get(id_, {}).get("job") == "urgent"]
    retries, repeated = _repeats(entries, killed, lease)
    report = Report(
        accepted=len(accepted),
        finished=len(finishes),
        dead=dict(dead),
        missing=sorted(set(accepted) - finishes.keys() - dead.keys()),
        files=len(files),
        lines=sum(each["lines"] for each in files),
        functions=sum(each["functions"] for each in files),
        classes=sum(each["classes"] for each in files),
        retries=retries,
        repeated=dict(repeated),
        finished_twice=sum(count > 1 for count in finishes.values()),
        reminders=len(late),
        earliest=min(late, default=0.0),
        latest=max(late, default=0.0),
        urgent=len(urgent),
        urgent_rank=max(urgent, default=0),
        seconds=seconds,
    )
    report.faults.extend(_faults(report, slots))
    return report


def _repeats(entries: Sequence[Entry], killed: Collection[int], lease: float) -> tuple[int, Counter[str]]:
    """How often a job ran again because it had failed, and how often for another reason."""
    last: dict[str, Entry] = {}
    retries, causes = 0, Counter[str]()
    for each in entries:
        before = last.get(each.id)
        if each.event == "start" and before is not None:
            if before.event == "fail":
                retries += 1
            elif before.pid in killed:
                causes[KILLED] += 1
            else:
                causes[LEASE if each.at - before.at >= lease else UNEXPLAINED] += 1
        last[each.id] = each
    return retries, causes


def _faults(report: Report, slots: int) -> list[str]:
    found = {
        f"{len(report.missing)} accepted jobs are missing": report.missing,
        f"{report.repeated.get(UNEXPLAINED)} runs were repeated without a cause": report.repeated.get(UNEXPLAINED),
        f"a reminder ran {-report.earliest:.3f} s early": report.earliest < 0,
        "urgent jobs had to wait for others": report.urgent_rank > report.urgent + slots,
    }
    return [text for text, holds in found.items() if holds]

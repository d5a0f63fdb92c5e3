"""What a run has proven, claim by claim, counted from nothing but the outcomes of its cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from .claims import BEYOND_REACH, CONDUCT, Summary

Outcome = Literal["passed", "failed", "gap", "healed", "not concerned", "no power"]
Status = Literal["proven", "REFUTED", "not offered", "gap", "declared", "not run"]

BAD: Final[frozenset[str]] = frozenset({"failed", "healed"})


@dataclass(frozen=True)
class Result:
    """The outcome of one case."""

    case: str
    claims: tuple[str, ...]
    twin: bool
    outcome: Outcome
    levels: tuple[str, ...] = ()
    detail: str = ""
    """Why it did not run, what broke, or the reason of a gap."""
    seconds: float = 0.0
    stood_still: float | None = None
    """Seconds that the machine stood still when it failed, after which it was carried out again."""


@dataclass
class Row:
    """A claim, and what became of it."""

    name: str
    value: str
    status: Status
    levels: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


def rows(claims: Summary, results: Mapping[str, Result], *, whole: bool) -> list[Row]:
    """The ledger: every optional protocol, every capability, and the conduct of every driver.

    Args:
        claims: of the driver.
        results: of the cases that were collected, by name.
        whole: whether every case was to run; a claim without a proof then is refuted.
    """
    return [
        _row(name, claims, [each for each in results.values() if name in each.claims], whole=whole)
        for name in claims.values
    ]


def _row(name: str, claims: Summary, results: list[Result], *, whole: bool) -> Row:
    proofs = [each for each in results if not each.twin]
    offered = name in claims.offered
    about = proofs if offered else [each for each in results if each.twin]
    levels = list(dict.fromkeys(level for each in about for level in each.levels))
    status: Status
    if any(each.outcome in BAD for each in about):
        status = "REFUTED"
    elif not offered:
        status = "not offered"
    elif any(each.outcome == "gap" for each in about):
        status = "gap"
    elif not any(each.outcome == "passed" for each in about):
        status = _without_proof(name, levels, whole=whole)
    elif name == "durability" and claims.values[name] in BEYOND_REACH:
        status = "declared"
        levels.append(BEYOND_REACH[claims.values[name]])
    else:
        status = "proven"
    return Row(name, claims.values[name], status, levels, about)


def _without_proof(name: str, levels: list[str], *, whole: bool) -> Status:
    if not whole:
        return "not run"
    if name in DECLARED:
        levels.append(DECLARED[name])
        return "declared"
    if name in CONDUCT:
        return "not run"
    levels.append("claimed, and no case could run for it")
    return "REFUTED"


DECLARED: Final = {
    "max_run": "no case waits as long as that on a real clock",
}
"""Claims that a driver may make and no case can reach."""

"""The ledger as people and programs read it: a table on the terminal, and JSON."""

from __future__ import annotations

import io
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .claims import CONDUCT, Summary
from .ledger import Result, Row

STYLES: Final = {
    "proven": "green",
    "REFUTED": "bold red",
    "not offered": "dim",
    "gap": "yellow",
    "declared": "cyan",
    "not run": "dim",
}


def as_json(
    claims: Summary, ledger: Sequence[Row], results: Mapping[str, Result], problems: Sequence[str]
) -> dict[str, Any]:
    """The report of a run; tables and badges are made from it."""
    return {
        "report": 1,
        "suite": version("waybill-conformance"),
        "core": version("waybill"),
        "driver": claims.driver,
        "driver_version": claims.version,
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "powers": sorted(claims.powers),
        "refuted": [row.name for row in ledger if row.status == "REFUTED"],
        "problems": list(problems),
        "counts": dict(Counter(each.outcome for each in results.values())),
        "claims": {
            row.name: {
                "kind": "conduct" if row.name in CONDUCT else "claim",
                "value": row.value,
                "status": row.status,
                "levels": row.levels,
                "cases": {each.case: each.outcome for each in sorted(row.results, key=lambda each: each.case)},
            }
            for row in ledger
        },
        "repeated": {each.case: each.stood_still for each in results.values() if each.stood_still is not None},
        "gaps": {each.case: each.detail for each in results.values() if each.outcome == "gap"},
        "failures": {each.case: each.detail for each in results.values() if each.outcome in ("failed", "healed")},
    }


def as_text(claims: Summary, ledger: Sequence[Row], results: Mapping[str, Result], *, width: int, colour: bool) -> str:
    """The ledger for a terminal."""
    table = Table(title=f"{claims.driver} {claims.version}".strip(), title_justify="left", expand=False)
    for heading in ("claim", "value", "status", "how far"):
        table.add_column(heading, overflow="fold")
    for row in ledger:
        passed = sum(each.outcome == "passed" for each in row.results)
        proof = [f"{passed} case{'s' if passed != 1 else ''}"] if passed else []
        bad = [each.case for each in row.results if each.outcome in ("failed", "healed", "gap")]
        table.add_row(row.name, row.value, Text(row.status, STYLES[row.status]), "; ".join([*proof, *row.levels, *bad]))
    out = io.StringIO()
    console = Console(
        file=out, width=max(width, 80), force_terminal=colour, color_system="standard" if colour else None
    )
    console.print(table)
    counts = Counter(each.outcome for each in results.values())
    console.print(", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())))
    repeated = {each.case: each.stood_still for each in results.values() if each.stood_still is not None}
    if repeated:
        console.print(
            f"{len(repeated)} carried out again, as this machine or the broker stood still for up to "
            f"{max(repeated.values()):.1f} s meanwhile: {', '.join(sorted(repeated))}"
        )
    return out.getvalue()

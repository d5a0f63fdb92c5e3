"""Markdown tables of what drivers have proven, and their place in a document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .kept import kept

BEGIN: Final = "<!-- claims -->"
END: Final = "<!-- /claims -->"
_ORIGIN: Final = "<!-- Made by `waybill-conformance table` from a report; what is edited here is lost. -->"


class MarkerError(Exception):
    """A document has no place for a table, and what to add."""


def table_of(report: Mapping[str, Any]) -> str:
    """What one driver has proven: a row for each claim, and a sentence for the rest."""
    claims = kept(dict(report))["claims"]
    driver = f"`{report['driver']}` {report['driver_version']}".rstrip()
    lines = [
        f"{driver}, held to its claims by waybill-conformance {report['suite']}{_with(report['powers'])}:",
        "",
        "| claim | value | status | how far |",
        "|---|---|---|---|",
    ]
    for name, claim in claims.items():
        if claim["kind"] == "claim" and claim["status"] != "not offered":
            levels = "; ".join(_cell(each) for each in claim["levels"])
            lines.append(f"| `{name}` | {_value(name, claim)} | {_status(claim['status'])} | {levels} |")
    lines += ["", *_conduct(claims), f"Not offered: {_names(claims, 'claim', 'not offered')}."]
    lines += [f"A gap, `{case}`: {reason}" for case, reason in sorted(report["gaps"].items())]
    lines += [f"A problem of the run: {each}" for each in report["problems"]]
    return "\n".join(lines)


def matrix_of(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """What several drivers have proven, side by side, under the names given."""
    stable = {title: kept(dict(report))["claims"] for title, report in reports.items()}
    rows = list(dict.fromkeys(name for claims in stable.values() for name in claims))
    lines = [f"| | {' | '.join(reports)} |", "|---" * (len(reports) + 1) + "|"]
    for name in rows:
        cells = [_compared(name, claims.get(name)) for claims in stable.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_between_markers(document: Path, table: str) -> None:
    """Put a table where the document has its markers.

    Raises:
        MarkerError: it has none, or more than one place.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise MarkerError(f"{document} cannot be read: {error}. Nothing was written.") from error
    before, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise MarkerError(
            f"{document} needs the lines {BEGIN} and {END} once, where the table is to stand. Nothing was written."
        )
    document.write_text(f"{before}{BEGIN}\n{_ORIGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def _with(powers: list[str]) -> str:
    """What the harness could do, as it limits what could be proven."""
    return f" (the harness has {', '.join(powers)})" if powers else " (the harness has no powers)"


def _conduct(claims: Mapping[str, Any]) -> list[str]:
    """What every driver must do, in a line for each status."""
    found = list(dict.fromkeys(each["status"] for each in claims.values() if each["kind"] == "conduct"))
    lines = [f"What every driver must do, {_status(status)}: {_names(claims, 'conduct', status)}." for status in found]
    return [each for line in lines for each in (line, "")]


def _names(claims: Mapping[str, Any], kind: str, status: str) -> str:
    found = [f"`{name}`" for name, each in claims.items() if (each["kind"], each["status"]) == (kind, status)]
    return ", ".join(found) or "nothing is left out"


def _compared(name: str, claim: Mapping[str, Any] | None) -> str:
    """A cell of the matrix: the value that is proven, or the value with its status."""
    if claim is None or claim["status"] == "not offered":
        return ""
    if claim["kind"] == "conduct":
        return _status(claim["status"])
    value = _value(name, claim)
    return value if claim["status"] == "proven" else f"{value} ({_status(claim['status'])})"


def _value(name: str, claim: Mapping[str, Any]) -> str:
    """The claimed value; a timed lease is an option, and the one that was claimed is the harness's."""
    value = _cell(claim["value"])
    return f"timed ({value} in the run)" if name == "lease" and value[:1].isdigit() else value


def _status(status: str) -> str:
    return f"**{status}**" if status in ("REFUTED", "gap") else status


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

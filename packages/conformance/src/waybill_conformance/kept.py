"""A report as a repository keeps it: what was proven, without what differs from run to run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

_FIELDS: Final = ("report", "suite", "core", "driver", "driver_version", "powers", "refuted", "problems")
_MEASURED: Final = re.compile(r"\bwithin [\d.]+ m?s|^late by|^\d+ accepted, \d+ unknown")
"""A level that tells a time, or how chance fell. It says how well this machine did, and not what the driver does."""


class ReportError(Exception):
    """A file is no report of the suite."""


def read_report(path: Path) -> dict[str, Any]:
    """A report from its file.

    Raises:
        ReportError: there is none, or it is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: no report can be read: {error}") from error
    if not isinstance(found, dict) or found.get("report") != 1 or not isinstance(found.get("claims"), dict):
        raise ReportError(f"{path}: this is no report of waybill-conformance; make one with `pytest … --report FILE`")
    return found


def kept(report: dict[str, Any]) -> dict[str, Any]:
    """What stays true from run to run, and is worth a line in a history: claims, their status, how far it went."""
    claims = {
        name: {
            "kind": claim["kind"],
            "value": claim["value"],
            "status": claim["status"],
            "levels": sorted({level for level in claim["levels"] if level and not _MEASURED.search(level)}),
        }
        for name, claim in report["claims"].items()
    }
    return {name: report[name] for name in _FIELDS} | {"claims": claims, "gaps": report["gaps"]}


def write_kept(report: dict[str, Any], path: Path) -> None:
    """Write what is kept of a report."""
    path.write_text(json.dumps(kept(report), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

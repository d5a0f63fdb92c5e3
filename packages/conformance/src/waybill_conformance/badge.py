"""A badge that tells how many claims are proven: a small SVG, or a file for a badge service."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_LABEL: Final = "waybill"
_COLOURS: Final = {"brightgreen": "#2f7d32", "yellow": "#8a6100", "red": "#b3261e"}  # dark enough for white letters
_LETTER: Final = 6.6
"""The mean width of a letter of Verdana at 11 pixels; the text is stretched to what is computed with it."""
_SVG: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {message}">
  <title>{label}: {message}</title>
  <clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>
  <g clip-path="url(#r)">
    <rect width="{left}" height="20" fill="#444"/>
    <rect x="{left}" width="{right}" height="20" fill="{colour}"/>
  </g>
  <g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
    <text x="{left_middle}" y="14" textLength="{left_text}">{label}</text>
    <text x="{right_middle}" y="14" textLength="{right_text}">{message}</text>
  </g>
</svg>
"""


class Badge(NamedTuple):
    """What is written on it, and its colour's name."""

    message: str
    colour: str


def badge_of(report: Mapping[str, Any]) -> Badge:
    """Green with what is proven, yellow with gaps, red where anything is refuted or the run had a problem."""
    counts = Counter(each["status"] for each in report["claims"].values())
    if counts["REFUTED"]:
        return Badge(f"{counts['REFUTED']} refuted", "red")
    if report["problems"]:
        return Badge("not proven", "red")
    proven = f"{counts['proven']} proven"
    gaps = counts["gap"]
    return Badge(f"{proven}, {gaps} gap{'s' if gaps > 1 else ''}", "yellow") if gaps else Badge(proven, "brightgreen")


def as_svg(badge: Badge) -> str:
    """The badge as a picture that needs nobody's server."""
    left_text, right_text = (round(len(text) * _LETTER) for text in (_LABEL, badge.message))
    left, right = left_text + 12, right_text + 12
    return _SVG.format(
        label=_LABEL,
        message=badge.message,
        colour=_COLOURS[badge.colour],
        width=left + right,
        left=left,
        right=right,
        left_middle=left / 2,
        right_middle=left + right / 2,
        left_text=left_text,
        right_text=right_text,
    )


def as_endpoint(badge: Badge) -> str:
    """The badge as the JSON that a badge service reads from an address of yours."""
    told = {"schemaVersion": 1, "label": _LABEL, "message": badge.message, "color": badge.colour}
    return json.dumps(told, indent=2) + "\n"

"""Telling on a terminal or in a log how far a long sending has come."""

from __future__ import annotations

import sys
from typing import TextIO


class ShowProgress:
    """For `on_progress=`: "Queueing 10,000 jobs…", a running count where somebody watches, "Queued 10,000 jobs".

    Args:
        what: is counted.
        file: where to; stdout by default.
    """

    def __init__(self, what: str = "jobs", file: TextIO | None = None) -> None:
        self._what, self._file = what, file
        self._begun = False

    def __call__(self, done: int, total: int) -> None:
        file = self._file or sys.stdout
        watched = file.isatty()
        if not self._begun:
            self._begun = True
            file.write(f"Queueing {total:,} {self._what}…\n")
        if done < total:
            if watched:
                file.write(f"\r{done:,}/{total:,}")
        else:
            start = "\r" if watched else ""
            file.write(f"{start}Queued {total:,} {self._what}\n")
        file.flush()

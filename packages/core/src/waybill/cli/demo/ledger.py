"""What really ran: a line per beginning and end, written by the handlers themselves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...jobs.context import JobContext


@dataclass(frozen=True, slots=True)
class Entry:
    """A run that began, returned or raised."""

    event: Literal["start", "finish", "fail"]
    job: str
    id: str
    attempt: int
    pid: int
    at: float
    facts: dict[str, Any]


class Ledger:
    """A file that several processes append to; one write is one line, and a killed process leaves no half of one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def run(self, ctx: JobContext) -> Iterator[dict[str, Any]]:
        """Stand around a handler; what it puts into the dict is kept with its end."""
        facts: dict[str, Any] = {}
        self._append("start", ctx, {})
        try:
            yield facts
        except BaseException:
            self._append("fail", ctx, {})
            raise
        self._append("finish", ctx, facts)

    def read(self) -> list[Entry]:
        """All entries in the order they were written."""
        if not self._path.exists():
            return []
        return [Entry(*json.loads(line)) for line in self._path.read_text(encoding="utf-8").splitlines()]

    def _append(self, event: str, ctx: JobContext, facts: dict[str, Any]) -> None:
        entry = (event, ctx.job_name, ctx.job_id, ctx.attempt, os.getpid(), time.time(), facts)
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, f"{json.dumps(entry)}\n".encode())
        finally:
            os.close(fd)

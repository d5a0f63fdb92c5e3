"""The demo's jobs and its service: an ordinary application, run by ordinary workers."""

from __future__ import annotations

import ast
import os
import sysconfig
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from waybill import JobContext, JobService, PermanentJobError, TransientJobError, job

from .ledger import Ledger

LEDGER = "WAYBILL_DEMO_LEDGER"
QUEUE = "demo"
LIBRARY = Path(sysconfig.get_path("stdlib"))
_ONE_IN = 100


@dataclass
class SourceFile:
    """A Python file of the standard library."""

    path: str


@dataclass
class Reminder:
    """Something that must not be said before its time."""

    due: float


@job(name="measure", queue=QUEUE, retry=5)
def measure(file: SourceFile, ctx: JobContext) -> None:
    """Count a file's lines, functions and classes."""
    with ctx.services.run(ctx) as facts:
        if ctx.attempt == 1 and zlib.crc32(file.path.encode()) % _ONE_IN == 0:
            raise TransientJobError("a hiccup, staged for one file in a hundred", retry_after="500ms")
        source = (LIBRARY / file.path).read_bytes()
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError) as error:
            why = error.msg if isinstance(error, SyntaxError) else error
            raise PermanentJobError(f"{file.path}: {why}") from error
        nodes = list(ast.walk(tree))
        facts["lines"] = source.count(b"\n")
        facts["functions"] = sum(isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) for each in nodes)
        facts["classes"] = sum(isinstance(each, ast.ClassDef) for each in nodes)


@job(name="remind", queue=QUEUE, priority=5)
async def remind(reminder: Reminder, ctx: JobContext) -> None:
    """Say how late it is."""
    late = time.time() - reminder.due
    with ctx.services.run(ctx) as facts:
        facts["late"] = late


@job(name="urgent", queue=QUEUE, priority=9)
async def urgent(ctx: JobContext) -> None:
    """Go before whatever waits."""
    with ctx.services.run(ctx):
        pass


def service() -> JobService:
    """What `waybill worker` is given; the URL and the ledger's path are in the environment."""
    return JobService(jobs=[measure, remind, urgent], services=Ledger(Path(os.environ[LEDGER])))

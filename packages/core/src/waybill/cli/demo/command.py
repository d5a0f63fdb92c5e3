"""What the demo shows: a progress bar, and the balance at the end."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..failures import CommandError
from ..output import AsJson, cell, print_json, screen, table
from ..settings import Settings
from .play import LOG, play
from .report import Report


def demo(settings: Settings, *, as_json: AsJson = False) -> None:
    """Measure Python's standard library with jobs on SQLite, kill a worker half-way, and add up what became of them."""
    if find_spec("waybill_sqlite") is None:
        raise CommandError("the demo runs on SQLite: pip install waybill-sqlite")
    directory = Path(tempfile.mkdtemp(prefix="waybill-demo-"))
    logging.basicConfig(filename=directory / LOG, level=logging.INFO)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task("jobs", total=None)
        try:
            report = asyncio.run(
                play(
                    directory,
                    lambda text: bar.console.print(text, markup=False, soft_wrap=True),
                    lambda done, total: bar.update(task, completed=done, total=total),
                )
            )
        except CommandError as error:
            raise CommandError(f"{error}; their log is {directory / LOG}", error.exit_code) from error
        except BaseException:
            shutil.rmtree(directory)
            raise
    if as_json:
        print_json({**asdict(report), "jobs_per_second": round(report.jobs_per_second, 1)})
    else:
        _show(report)
    if report.faults:
        raise CommandError(f"{'; '.join(report.faults)}. The workers' log is {directory / LOG}", exit_code=1)
    shutil.rmtree(directory)


def _show(report: Report) -> None:
    repeated = "; ".join(f"{count:,}: {cause}" for cause, count in report.repeated.items()) or "none"
    if report.finished_twice:
        repeated += f" ({report.finished_twice:,} between their end and the ack)"
    punctual = f"{report.earliest * 1000:.0f} to {report.latest * 1000:.0f} ms after their time, none before"
    rows = {
        "files measured": f"{report.files:,}",
        "in them": f"{report.lines:,} lines, {report.functions:,} functions, {report.classes:,} classes",
        "speed": f"{report.jobs_per_second:,.0f} jobs/s, {report.seconds:.1f} s in all",
        "retries": f"{report.retries:,} after a hiccup that was staged",
        "runs repeated": repeated,
        "delayed jobs": f"{report.reminders:,} ran {punctual if report.earliest >= 0 else 'TOO EARLY'}",
        "urgent jobs": f"{report.urgent:,}, enqueued last, were all among the first {report.urgent_rank:,} to start",
        "dead letters": f"{len(report.dead):,}{' (the files that are broken on purpose)' if report.dead else ''}",
    }
    made = table("", "")
    made.show_header = False
    for name, value in rows.items():
        made.add_row(cell(name, "bold"), cell(value))
    for reason in sorted(report.dead.values()):
        made.add_row("", cell(reason, "dim"))
    proof = f"{report.accepted:,} accepted = {report.finished:,} finished + {len(report.dead):,} dead letters"
    lost = f"; {len(report.missing):,} MISSING" if report.missing else ", none missing"
    made.add_row(cell("proof", "bold"), cell(proof + lost, "bold red" if report.missing else "bold green"))
    screen().print(made)

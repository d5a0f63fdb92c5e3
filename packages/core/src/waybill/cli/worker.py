"""`waybill worker`: run jobs until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from typing import Annotated, Final, NoReturn

import typer

from ..hooks import hookimpl
from ..running.worker import Worker
from ..timing import parse_duration
from .application import load_service
from .failures import exit_code_of
from .logs import configure_logging
from .settings import Settings
from .supervisor import Lifeline, Supervisor

_logger: Final = logging.getLogger("waybill.worker")
_STUCK: Final = 1.0  # seconds for threads to end once the worker has
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?", re.IGNORECASE)


def worker(
    settings: Settings,
    *,
    application: Annotated[str | None, typer.Argument(metavar="MODULE:OBJECT", help="The same as --app.")] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", "-q", metavar="QUEUE", help="Receive from this one; repeat it, the most urgent first."),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, metavar="N", help="How many jobs a process runs at a time.")
    ] = 100,
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="How many of them may be plain functions; all by default."),
    ] = None,
    grace: Annotated[
        str, typer.Option(metavar="DURATION", help="How long running jobs may go on after SIGTERM or Ctrl-C.")
    ] = "30s",
    processes: Annotated[
        int, typer.Option("--processes", "-p", min=1, metavar="N", help="Worker processes; one that dies is replaced.")
    ] = 1,
    max_jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="End after so many; with --processes another takes over."),
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help='End at this size, such as "512MB", likewise.')
    ] = None,
) -> None:
    """Run jobs until SIGTERM or Ctrl-C; running ones get a grace, and a second signal cuts it short."""
    settings = replace(settings, app=application or settings.app)
    patience, memory = _duration(grace), None if max_memory is None else _size(max_memory)
    lifeline = Lifeline.inherited()
    if processes > 1 and lifeline is None:
        configure_logging(settings)
        # Children run this very command line. Their lifeline tells them that they are the children.
        supervisor = Supervisor([sys.executable, *sys.orig_argv[1:]], processes, patience)
        raise typer.Exit(asyncio.run(supervisor.run(signals=True)))
    if lifeline is not None:
        lifeline.watch(patience)
    service = load_service(settings)
    configure_logging(settings)  # after the application, which may have done so itself
    service.hooks.register(_Start(lifeline))
    made = Worker(service, queue, concurrency, threads, patience, max_jobs=max_jobs, max_memory=memory)
    asyncio.run(_serve(made, debug=settings.debug))


class _Start:
    """Tells whoever wants to know that the worker works."""

    def __init__(self, lifeline: Lifeline | None) -> None:
        self._lifeline = lifeline

    @hookimpl
    def waybill_worker_start(self, worker: Worker) -> None:
        _logger.info("waybill %s on %s", version("waybill"), worker.service.broker)
        if self._lifeline is not None:
            self._lifeline.say_ready()


async def _serve(worker: Worker, *, debug: bool) -> NoReturn:
    """Run the worker, and leave without threads that do not end."""
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(thread_name_prefix="waybill-default")
    loop.set_default_executor(pool)
    main = asyncio.current_task()
    assert main is not None
    for each in (signal.SIGTERM, signal.SIGINT):  # until the worker takes them over, once it is connected
        loop.add_signal_handler(each, main.cancel)
    code = 0
    try:
        await worker.run(signals=True)
    except asyncio.CancelledError:
        _logger.info("stopped before the worker had started")
    except Exception as error:
        code = exit_code_of(error, debug=debug)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)  # it is ending already
    pool.shutdown(wait=False, cancel_futures=True)
    _leave_stuck_threads(code)
    raise typer.Exit(code)


def _leave_stuck_threads(code: int) -> None:
    """Python waits for threads at its exit; this process does not."""
    deadline = time.monotonic() + _STUCK
    threads = [each for each in threading.enumerate() if not each.daemon and each is not threading.current_thread()]
    for each in threads:
        each.join(max(0.0, deadline - time.monotonic()))
    stuck = [each.name for each in threads if each.is_alive()]
    if stuck:
        _logger.warning("leaving without waiting for %d threads that do not end: %s", len(stuck), ", ".join(stuck))
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text, bare=False)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--grace") from error


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f'{text!r} is no size; write "512MB" or "1.5GiB"', param_hint="--max-memory")
    number, prefix, binary = found.groups()
    power = 0 if prefix is None else "KMGT".index(prefix.upper()) + 1
    return int(float(number) * (1024 if binary else 1000) ** power)

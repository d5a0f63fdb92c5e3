"""A thread that notices when a handler blocks the event loop, and says which one, and where."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Final

from .run import Run

_logger: Final = logging.getLogger("waybill.watchdog")


class Watchdog:
    """Asks the loop for a sign of life while jobs run.

    Args:
        runs: all that are held now.
        limit: seconds without a sign after which the blocking job is reported, once.
    """

    def __init__(self, runs: Callable[[], Iterable[Run]], limit: float = 1.0) -> None:
        self._runs, self._limit = runs, limit
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._stopped = threading.Event()
        self._asked: float | None = None
        self._thread = threading.Thread(target=self._watch, name="waybill-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        reported = False
        while not self._stopped.wait(self._limit / 2):
            asked = self._asked
            if asked is None:
                reported = False
                if any(run.in_handler for run in list(self._runs())):
                    self._asked = time.monotonic()
                    self._loop.call_soon_threadsafe(self._sign)
            elif not reported and time.monotonic() - asked >= self._limit:
                reported = self._report(time.monotonic() - asked)

    def _sign(self) -> None:
        self._asked = None

    def _report(self, seconds: float) -> bool:
        task = asyncio.current_task(self._loop)
        frame = sys._current_frames().get(self._loop_thread)
        if task is None or frame is None:
            return False
        run = next((each for each in list(self._runs()) if each.belongs_to(task)), None)
        who = "something" if run is None else f"job {run.job_name!r} ({run.delivery.message.id!r})"
        _logger.warning(
            "%s has blocked the event loop for %.1f s: no other job of this worker goes on meanwhile. "
            "Make its handler a plain function, which runs in a thread, or await. It is at:\n%s",
            who,
            seconds,
            "".join(traceback.format_stack(frame)),
        )
        return True

"""Run a coroutine on an event loop and thread of its own, so that whatever it does, the suite goes on.

A driver may block its loop or swallow its cancellation; the thread is then left behind, and its stack is told.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

GRACE: Final = 5.0
"""Seconds that a cancelled coroutine has to end."""
BREATH: Final = 1.0
"""Seconds that a closed driver's tasks and threads have to end."""


class HangError(AssertionError):
    """Something took longer than anything may."""


class LeftoverError(AssertionError):
    """Something outlived the driver it belongs to."""


def run(make: Callable[[], Coroutine[Any, Any, T]], *, seconds: float, what: str, starts: bool = False) -> T:
    """Run a coroutine to its end and see that nothing outlives it.

    Args:
        make: makes the coroutine.
        seconds: of real time that it may take.
        what: it is, for the error.
        starts: whether it may start threads that stay: a harness's, for its broker.

    Raises:
        HangError: it took longer than *seconds*; tells where it stands.
        LeftoverError: tasks or threads outlived it, or asyncio complained.
    """
    __tracebackhide__ = True
    before = set(threading.enumerate())
    errand = _Errand(make)
    thread = threading.Thread(target=errand.run, name="waybill-conformance", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        errand.cancel()
        stack = _stack(thread)
        thread.join(GRACE)
        raise HangError(f"{what} took longer than {seconds:g} seconds and was given up. It stood here:\n{stack}")
    if errand.error is not None:
        raise errand.error
    if not starts:
        _no_threads_left(before)
    return errand.result


class _Errand(Generic[T]):
    result: T

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._complaints: list[str] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        __tracebackhide__ = True
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._loop.set_exception_handler(self._complain)
                self.result = runner.run(self._whole())
            if self._complaints:
                raise LeftoverError("asyncio complained: " + "; ".join(self._complaints))
        except BaseException as error:  # it is raised again where the suite waits
            self.error = error

    async def _whole(self) -> T:
        __tracebackhide__ = True
        self._task = asyncio.current_task()
        result = await self._make()
        left = asyncio.all_tasks() - {self._task}
        if left:
            _, left = await asyncio.wait(left, timeout=BREATH)
        if left:
            names = "; ".join(sorted(str(each.get_coro()) for each in left))
            raise LeftoverError(f"tasks are left behind by a driver that was closed: {names}")
        return result

    def cancel(self) -> None:
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._complaints.append(f"{context['message']} {error!r}" if error else str(context["message"]))


def _no_threads_left(before: set[threading.Thread]) -> None:
    left = [each for each in threading.enumerate() if each not in before]
    for each in left:
        each.join(BREATH)
    names = [each.name for each in left if each.is_alive()]
    if names:
        raise LeftoverError(f"threads are left behind by a driver that was closed: {', '.join(names)}")


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)[-8:]) if frame else "(it has just ended)"

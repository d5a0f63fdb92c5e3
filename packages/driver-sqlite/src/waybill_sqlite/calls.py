"""Calls on their way to the thread and back: each is done once, is told once, and ends in its time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from waybill.errors import DriverClosedError

from .failures import UnansweredError

Undo = Callable[[Any], object]


class Call:
    """One verb to be called. It waits in the line, then it is begun, then its future is told."""

    __slots__ = ("arguments", "deadline", "future", "undo", "verb")

    def __init__(
        self,
        verb: Callable[..., Any],
        arguments: tuple[Any, ...],
        future: asyncio.Future[Any],
        deadline: float,
        undo: Undo | None,
    ) -> None:
        self.verb, self.arguments, self.future, self.deadline, self.undo = verb, arguments, future, deadline, undo

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def cancel(self) -> None:
        """Nobody waits for it any more. If it is not begun yet, it never is; else its result is undone."""
        future = self.future
        if future.cancel() or future.cancelled() or future.exception() is not None:
            return
        if self.undo is not None:  # the result came together with the cancellation
            self.undo(future.result())


class Outcome(NamedTuple):
    """What became of a call."""

    call: Call
    result: Any
    error: Exception | None


class Calls:
    """Those of one actor. `pop`, `finish` and `give_up` are called on its thread, the rest on the loop.

    Args:
        timeout: how long a call may take.
    """

    def __init__(self, timeout: timedelta) -> None:
        self.loop = asyncio.get_running_loop()
        self.closing = False
        self._timeout = timeout.total_seconds()
        # Appending and popping are atomic: whoever gets a call out of the line decides about it.
        self._line: deque[Call] = deque()
        self._begun: list[Call] = []
        self._timer: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        """Whether one waits to be begun."""
        return bool(self._line)

    @property
    def begun(self) -> Sequence[Call]:
        """Those whose transaction is not over."""
        return self._begun

    # -- on the loop -----------------------------------------------------------------------------------

    def add(self, verb: Callable[..., Any], arguments: tuple[Any, ...], undo: Undo | None) -> Call:
        deadline = self.loop.time() + self._timeout
        call = Call(verb, arguments, self.loop.create_future(), deadline, undo)
        self._line.append(call)
        if self._timer is None:
            self._timer = self.loop.call_at(deadline, self._end_overdue)
        return call

    def refuse(self) -> None:
        """From now on, nothing is begun but what undoes something."""
        self.closing = True
        with contextlib.suppress(IndexError):
            while True:
                self._line.popleft().fail(closed())

    def forget(self) -> None:
        """Nothing will come any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_overdue(self) -> None:
        """Fail those whose time is over; they are in the order of their deadlines."""
        now = self.loop.time()
        with contextlib.suppress(IndexError):
            while self._line[0].deadline <= now:
                call = self._line.popleft()
                if call.deadline > now:  # the thread took the one that was looked at
                    self._line.appendleft(call)
                    break
                call.fail(UnansweredError(self._timeout, begun=False))
        for call in list(self._begun):
            if call.deadline <= now:
                call.fail(UnansweredError(self._timeout, begun=True))
        pending = [call.deadline for call in (*self._begun, *self._line) if not call.future.done()]
        self._timer = self.loop.call_at(min(pending), self._end_overdue) if pending else None

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        for call, result, error in outcomes:
            if error is not None:
                call.fail(error)
            elif call.undo is not None and (self.closing or call.future.done()):
                call.undo(result)
                call.fail(closed())
            elif not call.future.done():
                call.future.set_result(result)

    # -- on the thread ---------------------------------------------------------------------------------

    def pop(self) -> Call | None:
        """Begin the next one; None: it was cancelled, or there is none."""
        try:
            call = self._line.popleft()
        except IndexError:  # its time was over, or the driver is being closed
            return None
        if call.future.cancelled():
            return None
        self._begun.append(call)
        return call

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Tell the callers. All that are begun are told together, or each alone."""
        if len(outcomes) == len(self._begun):
            self._begun = []
        else:
            told = {outcome.call for outcome in outcomes}
            self._begun = [call for call in self._begun if call not in told]
        self.loop.call_soon_threadsafe(self._tell, outcomes)

    def give_up(self, error: Exception) -> None:
        """Fail those that are begun; if none is, those that wait to be."""
        if not self._begun:
            for _ in range(len(self._line)):
                self.pop()
        self.finish([Outcome(call, None, error) for call in self._begun])


def closed() -> DriverClosedError:
    """What every call gets that comes too late."""
    return DriverClosedError("this SQLite driver is closed, and nothing was done. Open it again, or use another.")

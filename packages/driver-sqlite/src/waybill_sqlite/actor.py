"""The thread that owns a connection: whatever is asked of it meanwhile, it does in one transaction.

One commit, and so one fsync, serves all calls that came in while the last one was under way: nothing waits for a
timer, a lone call goes through at once, and a thousand concurrent ones cost little more than one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, TypeVarTuple

from waybill.errors import ConfigurationError, DriverClosedError, WaybillError

from .failures import UnansweredError, is_fatal
from .store import Store
from .waiting import Waiting

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MOST: Final = 1000
"""Calls in one transaction."""
LONGEST: Final = 0.02
"""Seconds after which no further call joins a transaction: other processes want to write, too."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.002  # seconds, while another program keeps the file locked


class _Call:
    """One verb to be called. It waits in the queue, then it is begun, then its future is told."""

    __slots__ = ("arguments", "deadline", "future", "undo", "verb")

    def __init__(
        self,
        verb: Callable[..., Any],
        arguments: tuple[Any, ...],
        future: asyncio.Future[Any],
        deadline: float,
        undo: Callable[[Any], object] | None,
    ) -> None:
        self.verb, self.arguments, self.future, self.deadline, self.undo = verb, arguments, future, deadline, undo


_Told = tuple[_Call, Any, Exception | None]


class Actor:
    """Calls verbs of the store on a thread of its own, in their order, each within its time.

    Args:
        name: of the thread.
        connect: opens the store, on the thread; again after the connection was lost.
        timeout: how long a call may take.
        waiting: whom to tell of commits; None for a store that only reads.
    """

    def __init__(
        self, name: str, connect: Callable[[], Store], timeout: timedelta, waiting: Waiting | None = None
    ) -> None:
        self._connect, self._waiting = connect, waiting
        self._timeout = timeout.total_seconds()
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        # Appending and popping are atomic: whoever gets a call out of the queue decides about it.
        self._queue: deque[_Call] = deque()
        self._begun: list[_Call] = []
        self._alarm: SimpleQueue[None] = SimpleQueue()
        self._asleep = self._stopping = self._settled = False
        self.closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    # -- on the loop -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store, which the first call does otherwise; raises what `connect` raises."""
        await self.call(_nothing)

    def is_wanted(self) -> bool:
        """Whether somebody waits for the store."""
        return bool(self._queue)

    async def call(
        self, verb: Callable[[Store, *Ts], T], *arguments: *Ts, undo: Callable[[T], object] | None = None
    ) -> T:
        """Call *verb* inside a transaction, and return what it returned once that is committed.

        Args:
            verb: raises a WaybillError only before it changes anything.
            arguments: what it takes beside the store.
            undo: called with the result if nobody is there to take it: the caller was cancelled, or time is over.
        """
        if os.getpid() != self._pid or asyncio.get_running_loop() is not self._loop:
            raise self._misplaced()
        if self.closing:
            raise closed()
        call = self._submit(verb, arguments, undo)
        try:
            return await call.future  # type: ignore[no-any-return]
        except (asyncio.CancelledError, GeneratorExit):
            future = call.future
            # Cancelled before it is begun, it never is; afterwards, `_tell` finds nobody to take the result.
            if not future.cancel() and not future.cancelled() and future.exception() is None and undo is not None:
                undo(future.result())  # it came together with the cancellation
            raise

    def post(self, verb: Callable[[Store, *Ts], Any], *arguments: *Ts) -> None:
        """Call *verb* when its turn comes, also while closing; nobody waits for it."""
        self._submit(verb, arguments, None).future.add_done_callback(_mark_as_seen)

    def _submit(
        self, verb: Callable[..., Any], arguments: tuple[Any, ...], undo: Callable[[Any], object] | None
    ) -> _Call:
        deadline = self._loop.time() + self._timeout
        call = _Call(verb, arguments, self._loop.create_future(), deadline, undo)
        self._queue.append(call)
        if self._asleep:
            self._alarm.put(None)
        elif self._thread.ident is None:
            self._thread.start()
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._end_overdue)
        return call

    def _end_overdue(self) -> None:
        """Tell those whose time is over; they are in the order of their deadlines."""
        now = self._loop.time()
        with contextlib.suppress(IndexError):
            while self._queue[0].deadline <= now:
                call = self._queue.popleft()
                if call.deadline > now:  # the thread took the one that was looked at
                    self._queue.appendleft(call)
                    break
                _fail(call, UnansweredError(self._timeout, begun=False))
        for call in list(self._begun):
            if call.deadline <= now:
                _fail(call, UnansweredError(self._timeout, begun=True))
        pending = [call.deadline for call in (*self._begun, *self._queue) if not call.future.done()]
        self._timer = self._loop.call_at(min(pending), self._end_overdue) if pending else None

    def _tell(self, told: list[_Told]) -> None:
        for call, result, error in told:
            future = call.future
            if call.undo is not None and error is None and (self.closing or future.done()):
                call.undo(result)
                _fail(call, closed())
            elif not future.done():
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

    def refuse(self) -> None:
        """From now on, do nothing that is not begun yet."""
        self.closing = True
        with contextlib.suppress(IndexError):
            while True:
                _fail(self._queue.popleft(), closed())

    async def stop(self, *, patient: bool = True) -> None:
        """Finish what is begun, close the store and end the thread.

        Where another process holds the thread up beyond the timeout, it does the rest when that lets go.
        """
        self.refuse()
        self._stopping = True
        self._alarm.put(None)
        if self._thread.is_alive() and not self._loop.is_closed() and patient:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self._timeout)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _misplaced(self) -> ConfigurationError:
        if os.getpid() != self._pid:
            return ConfigurationError(
                f"this SQLite driver was opened by process {self._pid} and cannot be used in its fork {os.getpid()}: "
                "that would damage the file. Nothing was done. Open a new driver after the fork."
            )
        return ConfigurationError(
            "this SQLite driver belongs to the event loop that opened it. Nothing was done. "
            "Give each loop a driver of its own: pass a URL or a factory, or use clone()."
        )

    def _settle(self) -> None:
        """All are told what became of their calls, and what they wanted undone is in the queue."""
        if self._waiting is not None:
            self._waiting.deafen()
        self._settled = True
        self._alarm.put(None)

    # -- on the thread ---------------------------------------------------------------------------------

    def _live(self) -> None:
        store: Store | None = None
        with contextlib.suppress(RuntimeError):  # the loop was closed, and the driver was not
            while self._has_work(store):
                try:
                    if store is None:
                        store = self._connect()
                    self._transact(store)
                except Exception as error:
                    self._give_up(error)
                    if store is not None and is_fatal(error):
                        store.close()
                        store = None
        if store is not None:
            store.close()
        if self._waiting is not None:
            self._waiting.close()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)

    def _has_work(self, store: Store | None) -> bool:
        """Sleep until there is a call; False: the end."""
        while True:
            interval = None
            if store is not None and self._waiting is not None:
                self._waiting.glance(store)
                interval = self._waiting.interval()
            if self._queue:
                return True
            if self._settled:
                return False
            if self._stopping:
                self._loop.call_soon_threadsafe(self._settle)
            self._asleep = True
            if not self._queue:
                with contextlib.suppress(Empty):
                    self._alarm.get(timeout=interval)
            self._asleep = False

    def _transact(self, store: Store) -> None:
        if not self._begin(store):
            return
        # Nothing was begun until now: whoever has waited for the lock in vain can be told that nothing happened.
        told: list[_Told] = []
        end = time.monotonic() + LONGEST
        try:
            while self._queue and len(told) < MOST and time.monotonic() < end:
                call = self._pop()
                if call is not None:
                    self._begun.append(call)
                    told.append(_perform(call, store))
            changed = store.commit()
        except Exception as error:
            store.rollback()
            if len(self._begun) == 1 or is_fatal(error):
                raise
            for call in list(self._begun):  # one of them is to blame
                self._transact_alone(store, call)
        else:
            self._committed(store, told, changed)

    def _transact_alone(self, store: Store, call: _Call) -> None:
        while not self._begin(store):
            if call.future.done():
                return
        try:
            told = _perform(call, store)
            self._committed(store, [told], store.commit())
        except Exception as error:
            store.rollback()
            if is_fatal(error):
                raise
            self._committed(store, [(call, None, error)], set())

    def _begin(self, store: Store) -> bool:
        """Start a transaction as soon as no other program is writing; False: nobody waits for it any more."""
        pause = _SHORTEST_PAUSE
        while not store.begin():
            if not self._queue and not self._begun:
                return False
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return True

    def _pop(self) -> _Call | None:
        try:
            call = self._queue.popleft()
        except IndexError:  # its time was over, or the driver is being closed
            return None
        return None if call.future.cancelled() else call

    def _committed(self, store: Store, told: list[_Told], changed: set[str]) -> None:
        gone = {id(call) for call, _, _ in told}
        self._begun = [call for call in self._begun if id(call) not in gone]
        self._loop.call_soon_threadsafe(self._tell, told)
        if changed and self._waiting is not None:
            self._waiting.announce(store, changed)

    def _give_up(self, error: Exception) -> None:
        """Tell those whose transaction has failed; if none was begun, all that wait for one."""
        failed, self._begun = self._begun, []
        while self._queue and not failed:
            failed = [call for _ in range(len(self._queue)) if (call := self._pop()) is not None]
        told: list[_Told] = [(call, None, error) for call in failed]
        self._loop.call_soon_threadsafe(self._tell, told)


def closed() -> DriverClosedError:
    """What every call gets that comes too late."""
    return DriverClosedError("this SQLite driver is closed, and nothing was done. Open it again, or use another.")


def _perform(call: _Call, store: Store) -> _Told:
    try:
        return call, call.verb(store, *call.arguments), None
    except WaybillError as error:  # an answer, and nothing was changed
        return call, None, error


def _fail(call: _Call, error: Exception) -> None:
    if not call.future.done():
        call.future.set_exception(error)


def _mark_as_seen(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _nothing(store: Store) -> None:
    """Take part in a transaction, to know that those before are over."""

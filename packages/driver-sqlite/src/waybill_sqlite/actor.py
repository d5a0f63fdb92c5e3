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
from collections.abc import Callable
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, TypeVarTuple

from waybill.errors import ConfigurationError, WaybillError

from .calls import Call, Calls, Outcome, closed
from .failures import is_fatal
from .store import Store
from .waiting import Waiting

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MOST: Final = 1000
"""Calls in one transaction."""
LONGEST: Final = 0.02
"""Seconds after which no further call joins a transaction: other processes want to write, too."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.002  # seconds, while another program keeps the file locked


class Actor:
    """Calls verbs of a store on a thread of its own, in their order, each within its time.

    Args:
        name: of the thread.
        connect: opens the store, on the thread; again after the connection was lost. What it is given says
            whether anybody still waits for that.
        timeout: how long a call may take.
        waiting: whom to tell of commits; None for a store that only reads.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[Callable[[], bool]], Store],
        timeout: timedelta,
        waiting: Waiting | None = None,
    ) -> None:
        self._connect, self._waiting = connect, waiting
        self._patience = timeout.total_seconds()
        self._calls = Calls(timeout)
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        self._alarm: SimpleQueue[None] = SimpleQueue()
        self._asleep = self._stopping = self._settled = False
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    # -- on the loop -----------------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        return self._calls.closing

    async def start(self) -> None:
        """Open the store, which the first call does otherwise; raises what `connect` raises."""
        await self.call(_nothing)

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
        if self._calls.closing:
            raise closed()
        call = self._submit(verb, arguments, undo)
        try:
            return await call.future  # type: ignore[no-any-return]
        except (asyncio.CancelledError, GeneratorExit):
            call.cancel()
            raise

    def post(self, verb: Callable[[Store, *Ts], Any], *arguments: *Ts) -> None:
        """Call *verb* when its turn comes, also while closing; nobody waits for it."""
        self._submit(verb, arguments, None).future.add_done_callback(_mark_as_seen)

    def refuse(self) -> None:
        """From now on, do nothing that is not begun yet."""
        self._calls.refuse()

    async def stop(self, *, patient: bool = True) -> None:
        """Finish what is begun, close the store and end the thread.

        Where another process holds the thread up beyond the timeout, it does the rest when that lets go.
        """
        self._calls.refuse()
        self._stopping = True
        self._alarm.put(None)
        if self._thread.is_alive() and not self._loop.is_closed() and patient:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._ended.wait()
        self._calls.forget()

    def _submit(self, verb: Callable[..., Any], arguments: tuple[Any, ...], undo: Callable[[T], object] | None) -> Call:
        call = self._calls.add(verb, arguments, undo)
        if self._asleep:
            self._alarm.put(None)
        elif self._thread.ident is None:
            self._thread.start()
        return call

    def _settle(self) -> None:
        """All are told what became of their calls, and what they wanted undone is in the line."""
        if self._settled:  # a slow loop is told more than once, and by now the thread may have closed the socket
            return
        if self._waiting is not None:
            self._waiting.deafen()
        self._settled = True
        self._alarm.put(None)

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

    # -- on the thread ---------------------------------------------------------------------------------

    def _live(self) -> None:
        store: Store | None = None
        with contextlib.suppress(RuntimeError):  # the loop was closed, and the driver was not
            while self._has_work(store):
                try:
                    if store is None:
                        store = self._connect(self._calls.__bool__)
                    self._transact(store)
                except Exception as error:
                    self._calls.give_up(error)
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
            if self._calls:
                return True
            if self._settled:
                return False
            if self._stopping:
                self._loop.call_soon_threadsafe(self._settle)
            self._asleep = True
            if not self._calls:  # look again: from here on, who comes sounds the alarm
                with contextlib.suppress(Empty):
                    self._alarm.get(timeout=interval)
            self._asleep = False

    def _transact(self, store: Store) -> None:
        if not self._begin(store):
            return
        # Nothing was begun until now: whoever waited for the lock in vain can be told that nothing happened.
        outcomes: list[Outcome] = []
        end = time.monotonic() + LONGEST
        try:
            while self._calls and len(outcomes) < MOST and time.monotonic() < end:
                call = self._calls.pop()
                if call is not None:
                    outcomes.append(_perform(call, store))
            changed = store.commit()
        except Exception as error:
            store.rollback()
            if len(self._calls.begun) == 1 or is_fatal(error):
                raise
            for call in list(self._calls.begun):  # one of them is to blame
                self._transact_alone(store, call)
        else:
            self._committed(store, outcomes, changed)

    def _transact_alone(self, store: Store, call: Call) -> None:
        if not self._begin(store):
            return
        try:
            outcomes = [_perform(call, store)]
            changed = store.commit()
        except Exception as error:
            store.rollback()
            if is_fatal(error):
                raise
            self._calls.finish([Outcome(call, None, error)])
        else:
            self._committed(store, outcomes, changed)

    def _begin(self, store: Store) -> bool:
        """Start a transaction as soon as no other program is writing; False: nobody waits for it any more."""
        pause = _SHORTEST_PAUSE
        while not store.begin():
            if not self._calls and not self._calls.begun:
                return False
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return True

    def _committed(self, store: Store, outcomes: list[Outcome], changed: set[str]) -> None:
        if changed and self._waiting is not None:
            self._waiting.announce(store, changed)  # first: once told, the loop is busy with the answers
        self._calls.finish(outcomes)
        store.tidy()


def _perform(call: Call, store: Store) -> Outcome:
    try:
        return Outcome(call, call.verb(store, *call.arguments), None)
    except WaybillError as error:  # an answer, and nothing was changed
        return Outcome(call, None, error)


def _mark_as_seen(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _nothing(store: Store) -> None:
    """Take part in a transaction, to know that the store is open."""

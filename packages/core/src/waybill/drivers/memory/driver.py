"""The reference driver: a broker in this process's memory, on any clock, with every verb.

It is bound to no event loop and is thread-safe, so that a test may enqueue from anywhere. Its clones share one
store, as other drivers' share one broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

from ...driver import (
    BrokerUrl,
    Capabilities,
    DeadLetter,
    DelayedMessage,
    Delivery,
    Due,
    Message,
    Note,
    Page,
    QueueStats,
    StateEntry,
    StateValue,
    UniqueClaim,
)
from ...errors import DeadReason, DriverClosedError, WaybillError
from ...timing import ZERO, Clock, Duration, SystemClock, parse_duration
from .queue import BEHIND, DELAYED, LEASED, READY
from .store import FAILING, Enqueued, Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """The URL's options."""

    lease: timedelta = timedelta(seconds=60)


class MemoryDriver:
    """Messages in memory, for tests and for trying things out; gone with the process.

    Args:
        clock: what it takes for the time; a `VirtualClock` makes tests instant.
        lease: how long a delivery belongs to its receiver.
        recording: whether `enqueued` keeps what was sent; `memory://` does not, as it would grow for ever.
    """

    any_loop: ClassVar = True
    """The core may use this object and its clones from several event loops."""

    def __init__(self, *, clock: Clock | None = None, lease: Duration = "60s", recording: bool = True) -> None:
        self._use(Store(clock or SystemClock(), parse_duration(lease, bare=False), recording=recording))

    def _use(self, store: Store) -> None:
        self._shared = store
        self._closed = False

    @classmethod
    def from_url(cls, url: BrokerUrl) -> MemoryDriver:
        return cls(lease=url.options(MemoryOptions).lease, recording=False)

    def clone(self) -> MemoryDriver:
        twin = copy.copy(self)  # with what a subclass has added
        twin._closed = False  # noqa: SLF001 - its own kind
        return twin

    @property
    def clock(self) -> Clock:
        return self._shared.clock

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            max_message_bytes=None,
            max_batch=1000,
            lease=self._shared.lease,
            durability="process",
            fencing="strict",
            idempotent_enqueue=ZERO,
            exact_attempts=True,
            ordering="group",
            priorities=10,
            unique=UniqueClaim(frozenset({"done", "start", "window"}), reported=True),
            purge="all",
            dead_browse="ordered",
        )

    async def open(self) -> None:
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        self._shared.wake()

    @property
    def _store(self) -> Store:
        if self._closed:
            raise DriverClosedError("this memory driver is closed; open() it, or use another")
        return self._shared

    # -- for tests -------------------------------------------------------------------------------------

    @property
    def enqueued(self) -> list[Enqueued]:
        """What was stored since the start, in order."""
        return self._shared.enqueued

    @property
    def dead(self) -> list[DeadLetter]:
        """What was given up, by queue and then in order."""
        return [letter for queue in self._shared.queues.values() for letter in queue.dead]

    def fail_next(self, error: BaseException, verb: str = "enqueue", *, times: int = 1) -> None:
        """Let the next calls of a verb raise *error* and change nothing.

        Args:
            error: what a broker's driver would raise, such as BrokerUnavailableError("down").
            verb: enqueue (delayed ones and those of a batch too), receive, ack, nack, release, extend or bury.
            times: how many calls, one after the other.
        """
        if verb not in FAILING:
            raise ValueError(f"{verb!r} is no verb that can be made to fail; there are {', '.join(FAILING)}")
        self._shared.failures.setdefault(verb, []).extend([error] * times)

    async def keep_dead(self, message: Message, reason: DeadReason, to: str | None = None) -> None:
        """Keep as a dead letter what was never received here, such as a record of a Lambda's event."""
        self._store.keep_dead(message, reason, to)

    # -- sending ---------------------------------------------------------------------------------------

    async def enqueue(self, message: Message) -> str:
        return self._store.enqueue(message, None)

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        return self._store.enqueue(message, delay)

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        return self._store.enqueue(message, when)

    async def enqueue_batch(self, items: Sequence[tuple[Message, Due]]) -> list[str | WaybillError]:
        return [_outcome(self._store.enqueue, message, due) for message, due in items]

    # -- receiving -------------------------------------------------------------------------------------

    async def receive(self, queue: str, *, limit: int, wait: timedelta) -> list[Delivery]:
        return await self.receive_many([queue], limit=limit, wait=wait)

    async def receive_many(self, queues: Sequence[str], *, limit: int, wait: timedelta) -> list[Delivery]:
        loop, clock = asyncio.get_running_loop(), self.clock
        end = clock.now() + wait
        while True:
            changed = asyncio.Event()

            def wake(changed: asyncio.Event = changed) -> None:
                with contextlib.suppress(RuntimeError):  # the waiter's loop is closed
                    loop.call_soon_threadsafe(changed.set)

            with self._store.lock:
                taken = self._store.take(queues, limit)
                if taken or clock.now() >= end:
                    return taken
                at = self._store.wait(queues, wake)
            pause = (end if at is None else min(at, end)) - clock.now()
            timer = clock.call_later(max(pause, ZERO), changed.set)
            try:
                await changed.wait()
            finally:
                timer.cancel()
                self._shared.forget(wake)

    # -- settling --------------------------------------------------------------------------------------

    async def ack(self, delivery: Delivery) -> None:
        self._store.ack(delivery)

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        self._store.give_back(delivery, delay, spent=True)

    async def release(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        self._store.give_back(delivery, delay, spent=False)

    async def extend(self, delivery: Delivery) -> Delivery:
        return self._store.extend(delivery)

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None = None) -> None:
        self._store.bury(delivery, reason, to)

    async def ack_batch(self, deliveries: Sequence[Delivery]) -> list[WaybillError | None]:
        return [_outcome(self._store.ack, each) for each in deliveries]

    async def nack_batch(self, items: Sequence[tuple[Delivery, timedelta]]) -> list[WaybillError | None]:
        return [_outcome(self._store.give_back, each, delay, spent=True) for each, delay in items]

    async def extend_batch(self, deliveries: Sequence[Delivery]) -> list[Delivery | WaybillError]:
        return [_outcome(self._store.extend, each) for each in deliveries]

    # -- dead letters ----------------------------------------------------------------------------------

    async def list_dead(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        with self._store.lock:
            return _page(self._store.queue(queue).dead, after, limit)

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        with self._store.lock:
            dead = self._store.queue(queue).dead
            wanted = None if ids is None else set(ids)
            chosen = [each for each in dead if wanted is None or each.message.id in wanted]
            dead[:] = [each for each in dead if wanted is not None and each.message.id not in wanted]
            for letter in chosen:
                self._store.restore(letter.message)
            return len(chosen)

    async def purge_dead(self, queue: str) -> int:
        with self._store.lock:
            dead = self._store.queue(queue).dead
            count = len(dead)
            dead.clear()
            return count

    # -- looking and clearing --------------------------------------------------------------------------

    async def stats(self, queue: str) -> QueueStats:
        with self._store.lock:
            one = self._store.queue(queue)
            one.tick(self.clock.now())
            states = [each.state for each in one.records.values()]
            return QueueStats(
                ready=states.count(READY) + states.count(BEHIND),
                delayed=states.count(DELAYED),
                leased=states.count(LEASED),
                dead=len(one.dead),
            )

    async def queues(self) -> list[str]:
        with self._store.lock:
            return sorted(name for name, queue in self._store.queues.items() if queue.records or queue.dead)

    async def list_delayed(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DelayedMessage]:
        with self._store.lock:
            self._store.queue(queue).tick(self.clock.now())
            records = self._store.queue(queue).records.values()
            waiting = sorted((each.at, each.seq, each) for each in records if each.state == DELAYED and each.at)
            return _page([DelayedMessage(each.message, due) for due, _, each in waiting], after, limit)

    async def purge(self, queue: str, *, force: bool = False) -> int:
        with self._store.lock:
            one = self._store.queue(queue)
            one.tick(self.clock.now())
            waiting = [each for each in one.records.values() if each.state != LEASED]
            for record in waiting:
                one.remove(record)
            return len(waiting)

    async def cancel(self, queue: str, message_id: str) -> bool:
        with self._store.lock:
            one = self._store.queue(queue)
            one.tick(self.clock.now())
            record = one.records.get(message_id)
            if record is None or record.state == LEASED:
                return False
            one.remove(record)
            self._store.wake(queue)
            return True

    # -- state -----------------------------------------------------------------------------------------

    async def state_get(self, key: str) -> StateValue | None:
        with self._store.lock:
            return self._store.live_state().get(key)

    async def state_put(
        self, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None = None
    ) -> int | None:
        with self._store.lock:
            found = self._store.live_state().get(key)
            if expect != (None if found is None else found.version):
                return None
            return self._store.put_state(key, value, ttl)

    async def state_delete(self, key: str, *, expect: int) -> bool:
        with self._store.lock:
            state = self._store.live_state()
            if key not in state or state[key].version != expect:
                return False
            del state[key]
            return True

    async def state_list(self, prefix: str, *, after: str | None = None, limit: int = 100) -> Page[StateEntry]:
        with self._store.lock:
            state = self._store.live_state()
            keys = sorted(key for key in state if key.startswith(prefix) and (after is None or key > after))
            entries = [StateEntry(key, *state[key]) for key in keys[:limit]]
            return Page(entries, entries[-1].key if len(keys) > limit else None)

    async def diagnose(self) -> list[Note]:
        fact = f"messages live in this process's memory ({len(self._store.queues)} queues) and end with it"
        return [Note("info", fact, "use sqlite:///jobs.db")]

    def __repr__(self) -> str:
        return f"MemoryDriver({sum(len(each.records) for each in self._shared.queues.values())} messages)"


def _outcome(verb: Callable[..., T], *args: Any, **kwargs: Any) -> T | WaybillError:
    try:
        return verb(*args, **kwargs)
    except WaybillError as error:
        return error


def _page(entries: Sequence[T], after: str | None, limit: int) -> Page[T]:
    start = int(after or 0)
    return Page(entries[start : start + limit], str(start + limit) if start + limit < len(entries) else None)

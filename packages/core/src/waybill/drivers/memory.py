"""The reference driver: a broker in this process's memory, on any clock, with every verb.

It is bound to no event loop and is thread-safe, so that a test may enqueue from anywhere. Its clones share
one store, as other drivers' share one broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, TypeVar

from ..driver import (
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
from ..errors import DeadReason, DriverClosedError, DuplicateJobError, LeaseLostError, WaybillError
from ..timing import ZERO, Clock, Duration, SystemClock, parse_duration

T = TypeVar("T")

READY: Final = "ready"
BEHIND: Final = "behind"  # ready, but an earlier message of its group is not done
DELAYED: Final = "delayed"
LEASED: Final = "leased"


@dataclass(eq=False, slots=True)
class _Record:
    message: Message
    seq: int
    state: str = READY
    at: datetime | None = None  # due, or the end of the lease
    attempt: int = 0
    receipt: int = 0

    def __lt__(self, other: _Record) -> bool:
        return (-self.message.priority, self.seq) < (-other.message.priority, other.seq)


@dataclass(slots=True)
class _Queue:
    records: dict[str, _Record] = field(default_factory=dict)
    ready: list[_Record] = field(default_factory=list)  # a heap by priority, then age
    delayed: list[tuple[datetime, int, _Record]] = field(default_factory=list)  # a heap
    leased: dict[str, _Record] = field(default_factory=dict)  # the earliest end first: all leases are alike
    groups: dict[str, list[tuple[int, _Record]]] = field(default_factory=dict)  # who waits behind whose head
    unique: dict[str, tuple[str, datetime | None]] = field(default_factory=dict)  # key -> holder, end
    dead: list[DeadLetter] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What a test sees of one enqueue: what was asked, and the message that was stored."""

    message: Message
    delay: timedelta | None = None
    at: datetime | None = None

    @property
    def job_name(self) -> str:
        return self.message.job_name

    @property
    def payload(self) -> Any:
        return self.message.payload

    @property
    def queue(self) -> str:
        return self.message.queue


@dataclass(slots=True)
class _Store:
    clock: Clock
    lease: timedelta
    recording: bool
    lock: threading.RLock = field(default_factory=threading.RLock)
    queues: dict[str, _Queue] = field(default_factory=dict)
    state: dict[str, tuple[bytes, int, datetime | None]] = field(default_factory=dict)
    sequence: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    waiting: dict[Callable[[], None], Sequence[str]] = field(default_factory=dict)
    enqueued: list[Enqueued] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def wake(self, queue: str) -> None:
        for wake, queues in list(self.waiting.items()):
            if queue in queues:
                wake()

    # -- a record's way through its queue; the lock is held -------------------------------------------

    def make_ready(self, queue: _Queue, record: _Record, *, head: bool = False) -> None:
        """Let it be received; *head*: its group already waits for it."""
        group = record.message.group
        record.at = None
        if group is not None and not head:
            if group in queue.groups:
                record.state = BEHIND
                heapq.heappush(queue.groups[group], (record.seq, record))
                return
            queue.groups[group] = []
        record.state = READY
        heapq.heappush(queue.ready, record)

    def make_due_at(self, queue: _Queue, record: _Record, when: datetime) -> None:
        record.state, record.at = DELAYED, when
        heapq.heappush(queue.delayed, (when, record.seq, record))

    def remove(self, queue: _Queue, record: _Record) -> None:
        """Forget it, and let the next of its group come forward."""
        del queue.records[record.message.id]
        queue.leased.pop(record.message.id, None)
        group = record.message.group
        was_head = group is not None and (record.state in (READY, LEASED) or record.attempt > 0)
        record.state = "gone"
        if group is None or not was_head:
            return
        line = queue.groups.get(group, [])
        while line:
            _, following = heapq.heappop(line)
            if following.state == BEHIND:
                self.make_ready(queue, following, head=True)
                return
        queue.groups.pop(group, None)

    def tick(self, queue: _Queue, now: datetime) -> None:
        """Bring forward what has become due, and take back what was leased too long."""
        while queue.delayed and queue.delayed[0][0] <= now:
            due, _, record = heapq.heappop(queue.delayed)
            if record.state == DELAYED and record.at == due:
                self.make_ready(queue, record, head=record.attempt > 0)
        while queue.leased:
            record = next(iter(queue.leased.values()))
            if record.at is None or record.at > now:
                break
            del queue.leased[record.message.id]
            self.make_ready(queue, record, head=True)

    def next_change(self, queue: _Queue) -> datetime | None:
        while queue.delayed and (queue.delayed[0][2].state, queue.delayed[0][2].at) != (
            DELAYED,
            queue.delayed[0][0],
        ):
            heapq.heappop(queue.delayed)
        ends = [queue.delayed[0][0]] if queue.delayed else []
        if queue.leased:
            end = next(iter(queue.leased.values())).at
            ends += [end] if end else []
        return min(ends, default=None)

    def held_by(self, queue: _Queue, key: str, now: datetime) -> str | None:
        holder, end = queue.unique.get(key, ("", None))
        if not holder or (end is not None and end <= now):
            return None
        return holder


class MemoryDriver:
    """Messages in memory, for tests and for trying things out; gone with the process.

    Args:
        clock: what it takes for the time; a `VirtualClock` makes tests instant.
        lease: how long a delivery belongs to its receiver.
    """

    any_loop: ClassVar = True
    """The core may use one object, or its clones, from several event loops."""

    def __init__(self, *, clock: Clock | None = None, lease: Duration = "60s", recording: bool = True) -> None:
        self._store = _Store(clock or SystemClock(), parse_duration(lease, bare=False), recording)
        self._closed = False

    @classmethod
    def from_url(cls, url: BrokerUrl) -> MemoryDriver:
        return cls(lease=url.options(_Options).lease, recording=False)

    def clone(self) -> MemoryDriver:
        twin = type(self).__new__(type(self))
        twin._store, twin._closed = self._store, False
        return twin

    @property
    def clock(self) -> Clock:
        return self._store.clock

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            max_message_bytes=None,
            max_batch=1000,
            lease=self._store.lease,
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
        with self._store.lock:
            for wake in list(self._store.waiting):
                wake()

    def _open_store(self) -> _Store:
        if self._closed:
            raise DriverClosedError("this memory driver is closed; open() it, or use another")
        return self._store

    # -- for tests -------------------------------------------------------------------------------------

    @property
    def enqueued(self) -> list[Enqueued]:
        """What was stored since the start, in order."""
        return self._store.enqueued

    @property
    def dead(self) -> list[DeadLetter]:
        """What was given up, by queue and then in order."""
        return [letter for queue in self._store.queues.values() for letter in queue.dead]

    def fail_next(self, error: BaseException) -> None:
        """Let the next enqueue raise *error* and store nothing."""
        self._store.failures.append(error)

    # -- sending ---------------------------------------------------------------------------------------

    async def enqueue(self, message: Message) -> str:
        return self._enqueue(message, None)

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        return self._enqueue(message, delay)

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        return self._enqueue(message, when)

    async def enqueue_batch(self, items: Sequence[tuple[Message, Due]]) -> list[str | WaybillError]:
        return [_outcome(self._enqueue, message, due) for message, due in items]

    def _enqueue(self, message: Message, due: Due) -> str:
        store = self._open_store()
        with store.lock:
            if store.failures:
                raise store.failures.pop(0)
            now = store.clock.now()
            queue = store.queues.setdefault(message.queue, _Queue())
            if message.id in queue.records:
                return message.id
            unique = message.unique
            if unique is not None:
                holder = store.held_by(queue, unique.key, now)
                if holder is not None and holder != message.id:
                    raise DuplicateJobError(unique.key, holder)
                queue.unique[unique.key] = (
                    message.id,
                    None if unique.window is None else now + unique.window,
                )
            record = queue.records[message.id] = _Record(message, next(store.sequence))
            when = now + due if isinstance(due, timedelta) else due
            if when is None or when <= now:
                store.make_ready(queue, record)
            else:
                store.make_due_at(queue, record, when)
            if store.recording:
                delay = due if isinstance(due, timedelta) else None
                store.enqueued.append(Enqueued(message, delay, None if isinstance(due, timedelta) else due))
            store.wake(message.queue)
        return message.id

    # -- receiving -------------------------------------------------------------------------------------

    async def receive(self, queue: str, *, limit: int, wait: timedelta) -> list[Delivery]:
        return await self.receive_many([queue], limit=limit, wait=wait)

    async def receive_many(self, queues: Sequence[str], *, limit: int, wait: timedelta) -> list[Delivery]:
        store = self._open_store()
        loop = asyncio.get_running_loop()
        end = store.clock.now() + wait
        while True:
            changed = asyncio.Event()

            def wake(changed: asyncio.Event = changed) -> None:
                with contextlib.suppress(RuntimeError):  # the waiter's loop is closed
                    loop.call_soon_threadsafe(changed.set)

            with store.lock:
                taken = self._take(queues, limit)
                now = store.clock.now()
                if taken or now >= end:
                    return taken
                changes = (store.next_change(store.queues[each]) for each in queues if each in store.queues)
                at = min((each for each in changes if each is not None), default=end)
                store.waiting[wake] = queues
            timer = store.clock.call_later(max(min(at, end) - now, ZERO), changed.set)
            try:
                await changed.wait()
            finally:
                timer.cancel()
                with store.lock:
                    del store.waiting[wake]

    def _take(self, queues: Iterable[str], limit: int) -> list[Delivery]:
        store = self._open_store()
        now = store.clock.now()
        until = now + store.lease
        taken: list[Delivery] = []
        for name in queues:
            queue = store.queues.get(name)
            if queue is None:
                continue
            store.tick(queue, now)
            while queue.ready and len(taken) < limit:
                record = heapq.heappop(queue.ready)
                if record.state != READY:
                    continue
                record.state, record.at = LEASED, until
                record.attempt += 1
                record.receipt = next(store.sequence)
                queue.leased[record.message.id] = record
                unique = record.message.unique
                if unique is not None and unique.until == "start":
                    _free(queue, record)
                taken.append(Delivery(record.message, record.attempt, record.receipt, until))
        return taken

    # -- settling --------------------------------------------------------------------------------------

    def _held(self, delivery: Delivery) -> tuple[_Queue, _Record]:
        """The record behind a delivery that still is its receiver's.

        One whose lease ran out and that nobody has taken since is: a late ack saves a second run.
        """
        store = self._open_store()
        queue = store.queues.get(delivery.message.queue, _Queue())
        record = queue.records.get(delivery.message.id)
        if record is None or record.state != LEASED or record.receipt != delivery.receipt:
            raise LeaseLostError(f"job {delivery.message.id}: attempt {delivery.attempt} is no longer this worker's")
        return queue, record

    async def ack(self, delivery: Delivery) -> None:
        self._ack(delivery)

    def _ack(self, delivery: Delivery) -> None:
        with self._store.lock:
            queue, record = self._held(delivery)
            self._forget(queue, record)

    def _forget(self, queue: _Queue, record: _Record) -> None:
        unique = record.message.unique
        if unique is not None and unique.until != "window":
            _free(queue, record)
        self._store.remove(queue, record)
        self._store.wake(record.message.queue)

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        self._give_back(delivery, delay, spent=1)

    async def release(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        self._give_back(delivery, delay, spent=0)

    def _give_back(self, delivery: Delivery, delay: timedelta, spent: int) -> None:
        store = self._store
        with store.lock:
            queue, record = self._held(delivery)
            del queue.leased[record.message.id]
            group = record.message.group
            record.attempt += spent - 1
            if delay > ZERO:
                if group is not None and record.attempt == 0:
                    # Never begun: it leaves the head of its group, and comes back in its place when due.
                    record.state = LEASED
                    self._let_next_of_group_come(queue, record)
                store.make_due_at(queue, record, store.clock.now() + delay)
            else:
                store.make_ready(queue, record, head=True)
            store.wake(record.message.queue)

    def _let_next_of_group_come(self, queue: _Queue, record: _Record) -> None:
        self._store.remove(queue, record)
        queue.records[record.message.id] = record

    async def extend(self, delivery: Delivery) -> Delivery:
        return self._extend(delivery)

    def _extend(self, delivery: Delivery) -> Delivery:
        store = self._store
        with store.lock:
            queue, record = self._held(delivery)
            record.at = store.clock.now() + store.lease
            queue.leased[record.message.id] = queue.leased.pop(record.message.id)
            return Delivery(delivery.message, delivery.attempt, delivery.receipt, record.at)

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None = None) -> None:
        store = self._store
        with store.lock:
            queue, record = self._held(delivery)
            self._forget(queue, record)
            filed = store.queues.setdefault(to or delivery.message.queue, _Queue())
            filed.dead.append(DeadLetter(delivery.message, reason))

    async def ack_batch(self, deliveries: Sequence[Delivery]) -> list[WaybillError | None]:
        return [_outcome(self._ack, each) for each in deliveries]

    async def nack_batch(self, items: Sequence[tuple[Delivery, timedelta]]) -> list[WaybillError | None]:
        return [_outcome(self._give_back, delivery, delay, 1) for delivery, delay in items]

    async def extend_batch(self, deliveries: Sequence[Delivery]) -> list[Delivery | WaybillError]:
        return [_outcome(self._extend, each) for each in deliveries]

    # -- dead letters ----------------------------------------------------------------------------------

    async def list_dead(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        with self._open_store().lock:
            dead = self._store.queues.get(queue, _Queue()).dead
            return _page(dead, after, limit)

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        with self._open_store().lock:
            filed = self._store.queues.get(queue, _Queue())
            chosen = [each for each in filed.dead if ids is None or each.message.id in ids]
            filed.dead[:] = [each for each in filed.dead if each not in chosen]
            for letter in chosen:
                self._restore(letter.message)
            return len(chosen)

    def _restore(self, message: Message) -> None:
        store = self._store
        queue = store.queues.setdefault(message.queue, _Queue())
        if message.id in queue.records:
            return
        unique = message.unique
        if unique is not None and store.held_by(queue, unique.key, store.clock.now()) is None:
            end = None if unique.window is None else store.clock.now() + unique.window
            queue.unique[unique.key] = (message.id, end)
        record = queue.records[message.id] = _Record(message, next(store.sequence))
        store.make_ready(queue, record)
        store.wake(message.queue)

    async def purge_dead(self, queue: str) -> int:
        with self._open_store().lock:
            dead = self._store.queues.get(queue, _Queue()).dead
            count = len(dead)
            dead.clear()
            return count

    # -- looking and clearing --------------------------------------------------------------------------

    async def stats(self, queue: str) -> QueueStats:
        store = self._open_store()
        with store.lock:
            one = store.queues.get(queue, _Queue())
            store.tick(one, store.clock.now())
            states = [each.state for each in one.records.values()]
            return QueueStats(
                ready=states.count(READY) + states.count(BEHIND),
                delayed=states.count(DELAYED),
                leased=states.count(LEASED),
                dead=len(one.dead),
            )

    async def queues(self) -> list[str]:
        with self._open_store().lock:
            return sorted(self._store.queues)

    async def list_delayed(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DelayedMessage]:
        with self._open_store().lock:
            records = self._store.queues.get(queue, _Queue()).records.values()
            waiting = sorted((each.at, each.seq, each) for each in records if each.state == DELAYED and each.at)
            return _page([DelayedMessage(each.message, due) for due, _, each in waiting], after, limit)

    async def purge(self, queue: str, *, force: bool = False) -> int:
        with self._open_store().lock:
            one = self._store.queues.get(queue, _Queue())
            gone = [each for each in one.records.values() if each.state != LEASED]
            for record in sorted(gone, key=lambda each: each.seq, reverse=True):  # those behind before their head
                self._forget(one, record)
            return len(gone)

    async def cancel(self, queue: str, message_id: str) -> bool:
        with self._open_store().lock:
            one = self._store.queues.get(queue, _Queue())
            record = one.records.get(message_id)
            if record is None or record.state == LEASED:
                return False
            self._forget(one, record)
            return True

    # -- state -----------------------------------------------------------------------------------------

    def _live_state(self) -> dict[str, tuple[bytes, int, datetime | None]]:
        store = self._open_store()
        now = store.clock.now()
        for key in [key for key, (_, _, end) in store.state.items() if end is not None and end <= now]:
            del store.state[key]
        return store.state

    async def state_get(self, key: str) -> StateValue | None:
        with self._store.lock:
            found = self._live_state().get(key)
            return found and StateValue(found[0], found[1])

    async def state_put(
        self, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None = None
    ) -> int | None:
        with self._store.lock:
            state = self._live_state()
            if (state[key][1] if key in state else None) != expect:
                return None
            version = next(self._store.sequence)
            state[key] = (value, version, None if ttl is None else self._store.clock.now() + ttl)
            return version

    async def state_delete(self, key: str, *, expect: int) -> bool:
        with self._store.lock:
            state = self._live_state()
            if key not in state or state[key][1] != expect:
                return False
            del state[key]
            return True

    async def state_list(self, prefix: str, *, after: str | None = None, limit: int = 100) -> Page[StateEntry]:
        with self._store.lock:
            state = self._live_state()
            keys = sorted(key for key in state if key.startswith(prefix) and (after is None or key > after))
            entries = [StateEntry(key, state[key][0], state[key][1]) for key in keys[:limit]]
            return Page(entries, entries[-1].key if len(keys) > limit else None)

    async def diagnose(self) -> list[Note]:
        return [Note("info", "messages live in this process's memory and end with it", "use sqlite:///jobs.db")]

    def __repr__(self) -> str:
        return f"MemoryDriver({sum(len(each.records) for each in self._store.queues.values())} messages)"


@dataclass(frozen=True, slots=True)
class _Options:
    lease: timedelta = timedelta(seconds=60)


def _free(queue: _Queue, record: _Record) -> None:
    unique = record.message.unique
    if unique is not None and queue.unique.get(unique.key, ("",))[0] == record.message.id:
        del queue.unique[unique.key]


def _outcome(verb: Callable[..., T], *args: Any) -> T | WaybillError:
    try:
        return verb(*args)
    except WaybillError as error:
        return error


def _page(entries: Sequence[T], after: str | None, limit: int) -> Page[T]:
    start = int(after or 0)
    return Page(entries[start : start + limit], str(start + limit) if start + limit < len(entries) else None)

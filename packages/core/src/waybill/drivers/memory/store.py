"""The memory driver's broker: all its queues behind one lock. It knows no event loop."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from ...driver import DeadLetter, Delivery, Due, Message, StateValue
from ...errors import DeadReason, DuplicateJobError
from ...timing import ZERO, Clock
from .queue import Queue, Record

FAILING: Final = ("enqueue", "receive", "ack", "nack", "release", "extend", "bury")
"""Verbs that a test can make fail."""


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


class Store:
    """All queues, and who waits for them. Every public method takes the lock."""

    def __init__(self, clock: Clock, lease: timedelta, *, recording: bool) -> None:
        self.clock, self.lease = clock, lease
        self.lock = threading.RLock()
        self.queues: dict[str, Queue] = {}
        self.sequence = itertools.count(1)
        self.enqueued: list[Enqueued] = []
        self.failures: dict[str, list[BaseException]] = {}
        """What the next calls of each verb raise."""
        self._state: dict[str, StateValue] = {}
        self._state_ends: dict[str, datetime] = {}
        self._recording = recording
        self._waiting: dict[Callable[[], None], Sequence[str]] = {}

    def queue(self, name: str) -> Queue:
        """The queue, empty where nothing was sent to it."""
        return self.queues.setdefault(name, Queue())

    def enqueue(self, message: Message, due: Due) -> str:
        with self.lock:
            self._fail("enqueue")
            queue, now = self.queue(message.queue), self.clock.now()
            if message.id in queue.records:
                return message.id
            queue.hold_key(message, now)
            if message.headers:  # the caller's own mapping may change, and a receiver might change the stored one
                message = replace(message, headers=MappingProxyType(dict(message.headers)))
            self._admit(queue, message, now + due if isinstance(due, timedelta) else due)
            if self._recording:
                asked = Enqueued(message, delay=due) if isinstance(due, timedelta) else Enqueued(message, at=due)
                self.enqueued.append(asked)
        return message.id

    def restore(self, message: Message) -> None:
        """Admit a dead letter again, with its key where that is free."""
        queue = self.queue(message.queue)
        if message.id not in queue.records:
            with contextlib.suppress(DuplicateJobError):
                queue.hold_key(message, self.clock.now())
            self._admit(queue, message, None)

    def _admit(self, queue: Queue, message: Message, due: datetime | None) -> None:
        record = queue.records[message.id] = Record(message, next(self.sequence))
        if due is None or due <= self.clock.now():
            queue.make_ready(record)
        else:
            queue.delay(record, due)
        self.wake(message.queue)

    def _fail(self, verb: str) -> None:
        if self.failures.get(verb):
            raise self.failures[verb].pop(0)

    def take(self, queues: Iterable[str], limit: int) -> list[Delivery]:
        self._fail("receive")
        now = self.clock.now()
        until = now + self.lease
        taken: list[Delivery] = []
        for name in queues:
            queue = self.queues.get(name)
            if queue is None:
                continue
            queue.tick(now)
            while len(taken) < limit:
                record = queue.take(next(self.sequence), until)
                if record is None:
                    break
                taken.append(Delivery(record.message, record.attempt, record.receipt, until))
        return taken

    # -- settling --------------------------------------------------------------------------------------

    def ack(self, delivery: Delivery) -> None:
        with self.lock:
            self._fail("ack")
            self._remove(delivery)

    def _remove(self, delivery: Delivery) -> None:
        queue = self.queue(delivery.message.queue)
        queue.remove(queue.held(delivery))
        self.wake(delivery.message.queue)

    def give_back(self, delivery: Delivery, delay: timedelta, *, spent: bool) -> None:
        with self.lock:
            self._fail("nack" if spent else "release")
            queue = self.queue(delivery.message.queue)
            due = self.clock.now() + delay if delay > ZERO else None
            queue.give_back(queue.held(delivery), due, spent=spent)
            self.wake(delivery.message.queue)

    def extend(self, delivery: Delivery) -> Delivery:
        with self.lock:
            self._fail("extend")
            queue = self.queue(delivery.message.queue)
            until = self.clock.now() + self.lease
            queue.extend(queue.held(delivery), until)
            return Delivery(delivery.message, delivery.attempt, delivery.receipt, until)

    def bury(self, delivery: Delivery, reason: DeadReason, to: str | None) -> None:
        with self.lock:
            self._fail("bury")
            self._remove(delivery)
            self.keep_dead(delivery.message, reason, to)

    def keep_dead(self, message: Message, reason: DeadReason, to: str | None) -> None:
        with self.lock:
            self.queue(to or message.queue).dead.append(DeadLetter(message, reason))

    # -- waiting ---------------------------------------------------------------------------------------

    def wait(self, queues: Sequence[str], wake: Callable[[], None]) -> datetime | None:
        """Have *wake* called when one of *queues* changes; also the time of the next change that is known."""
        self._waiting[wake] = queues
        changes = (self.queues[each].next_change() for each in queues if each in self.queues)
        return min((each for each in changes if each is not None), default=None)

    def forget(self, wake: Callable[[], None]) -> None:
        with self.lock:
            del self._waiting[wake]

    def wake(self, queue: str | None = None) -> None:
        """Wake who waits for *queue*, or everybody."""
        with self.lock:
            for wake, queues in list(self._waiting.items()):
                if queue is None or queue in queues:
                    wake()

    # -- state; the caller holds the lock --------------------------------------------------------------

    def live_state(self) -> dict[str, StateValue]:
        """Every value whose time has not run out."""
        now = self.clock.now()
        for key in [key for key, end in self._state_ends.items() if end <= now]:
            del self._state_ends[key]
            self._state.pop(key, None)
        return self._state

    def put_state(self, key: str, value: bytes, ttl: timedelta | None) -> int:
        version = next(self.sequence)
        self._state[key] = StateValue(value, version)
        self._state_ends.pop(key, None)
        if ttl is not None:
            self._state_ends[key] = self.clock.now() + ttl
        return version

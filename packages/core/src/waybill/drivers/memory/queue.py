"""One queue in memory: what is ready, delayed, leased or dead, and what must wait for what."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ...driver import DeadLetter, Delivery, Message
from ...errors import DuplicateJobError, LeaseLostError

READY: Final = "ready"
BEHIND: Final = "behind"  # ready, but an earlier message of its group is not done
DELAYED: Final = "delayed"
LEASED: Final = "leased"
GONE: Final = "gone"


@dataclass(eq=False, slots=True)
class Record:
    """A message and where it is on its way."""

    message: Message
    seq: int
    state: str = READY
    at: datetime | None = None  # due, or the end of the lease
    attempt: int = 0
    receipt: int = 0

    def __lt__(self, other: Record) -> bool:
        return (-self.message.priority, self.seq) < (-other.message.priority, other.seq)


class Queue:
    """The records of one queue. Whoever calls holds the store's lock."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.dead: list[DeadLetter] = []
        self._ready: list[Record] = []  # a heap: by priority, then age
        self._delayed: list[tuple[datetime, int, Record]] = []  # a heap; entries may be stale
        self._leased: dict[str, Record] = {}  # the earliest end first, as all leases are equally long
        self._groups: dict[str, list[tuple[int, Record]]] = {}  # by group: a heap of those behind its head, by age
        self._unique: dict[str, tuple[str, datetime | None]] = {}  # by key: holder, end of the window

    # -- unique keys -----------------------------------------------------------------------------------

    def hold_key(self, message: Message, now: datetime) -> None:
        """Take the message's unique key.

        Raises:
            DuplicateJobError: another id holds it.
        """
        unique = message.unique
        if unique is None:
            return
        holder, end = self._unique.get(unique.key, (message.id, None))
        if holder != message.id and (end is None or now < end):
            raise DuplicateJobError(unique.key, holder)
        self._unique[unique.key] = (message.id, None if unique.window is None else now + unique.window)

    def free_key(self, message: Message, *scopes: str) -> None:
        """Give the key back if it is held until one of *scopes*."""
        unique = message.unique
        if unique is not None and unique.until in scopes and self._unique.get(unique.key, ("",))[0] == message.id:
            del self._unique[unique.key]

    # -- a record's way --------------------------------------------------------------------------------

    def make_ready(self, record: Record, *, head: bool = False) -> None:
        """Let it be taken; a *head* is what its group already waits for, anything else may have to wait behind."""
        group = record.message.group
        record.at = None
        if group is not None and not head:
            if group in self._groups:
                record.state = BEHIND
                heapq.heappush(self._groups[group], (record.seq, record))
                return
            self._groups[group] = []
        record.state = READY
        heapq.heappush(self._ready, record)

    def delay(self, record: Record, due: datetime) -> None:
        record.state, record.at = DELAYED, due
        heapq.heappush(self._delayed, (due, record.seq, record))

    def take(self, receipt: int, until: datetime) -> Record | None:
        """The next ready record, leased."""
        while self._ready:
            record = heapq.heappop(self._ready)
            if record.state == READY:
                record.state, record.at, record.receipt = LEASED, until, receipt
                record.attempt += 1
                self._leased[record.message.id] = record
                self.free_key(record.message, "start")
                return record
        return None

    def held(self, delivery: Delivery) -> Record:
        """The record behind a delivery that still is its receiver's.

        One whose lease ran out and that nobody has taken since is: a late ack saves a second run.

        Raises:
            LeaseLostError: it is somebody else's, or settled.
        """
        record = self.records.get(delivery.message.id)
        if record is None or record.receipt != delivery.receipt:
            raise LeaseLostError(f"job {delivery.message.id}: attempt {delivery.attempt} is no longer this worker's")
        return record

    def extend(self, record: Record, until: datetime) -> None:
        if record.state == READY:  # it ran out; the stale entry of the heap is passed over
            record.state = LEASED
        record.at = until
        self._leased.pop(record.message.id, None)
        self._leased[record.message.id] = record

    def give_back(self, record: Record, due: datetime | None, *, spent: bool) -> None:
        self._leased.pop(record.message.id, None)
        record.receipt = 0
        if not spent:
            record.attempt -= 1
        if due is None:
            self.make_ready(record, head=True)
            return
        if record.attempt == 0:  # never begun, so its group does not wait for it
            self._let_next_come(record)
        self.delay(record, due)

    def remove(self, record: Record) -> None:
        """Forget it; its key is free, and the next of its group comes forward."""
        message = record.message
        self.free_key(message, "done", "start")
        del self.records[message.id]
        self._leased.pop(message.id, None)
        if record.state in (READY, LEASED) or record.attempt:
            self._let_next_come(record)
        record.state = GONE

    def _let_next_come(self, head: Record) -> None:
        group = head.message.group
        line = [] if group is None else self._groups.pop(group, [])
        while line:
            _, following = heapq.heappop(line)
            if following.state == BEHIND:
                self._groups[following.message.group or ""] = line
                self.make_ready(following, head=True)
                return

    # -- time ------------------------------------------------------------------------------------------

    def tick(self, now: datetime) -> None:
        """Bring forward what has become due, and take back what was leased too long."""
        while self._delayed and self._delayed[0][0] <= now:
            due, _, record = heapq.heappop(self._delayed)
            if record.state == DELAYED and record.at == due:
                self.make_ready(record, head=record.attempt > 0)
        while self._leased:
            record = next(iter(self._leased.values()))
            if record.at is None or record.at > now:
                break
            del self._leased[record.message.id]
            self.make_ready(record, head=True)

    def next_change(self) -> datetime | None:
        """When the next tick has something to do."""
        while self._delayed:
            due, _, record = self._delayed[0]
            if record.state == DELAYED and record.at == due:
                break
            heapq.heappop(self._delayed)
        ends = [self._delayed[0][0]] if self._delayed else []
        first = next(iter(self._leased.values()), None)
        if first is not None and first.at is not None:
            ends.append(first.at)
        return min(ends, default=None)

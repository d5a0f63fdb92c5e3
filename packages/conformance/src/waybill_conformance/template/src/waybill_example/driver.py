"""The six verbs over one broker: each does its I/O, raises the errors of `waybill.errors`, and does nothing else.

As it stands the broker is `StandIn`, lists in this process's memory, so that the conformance suite is green from the
first run. Replace it by your broker's client one verb at a time, and run the suite after each. What the broker can do
beyond the six verbs is claimed by defining the verb, and what it promises by a value in `capabilities`.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from waybill.driver import BrokerUrl, Capabilities, Delivery, Message
from waybill.envelope import unwrap, wrap
from waybill.errors import DriverClosedError, LeaseLostError
from waybill.timing import ZERO, Clock, SystemClock

POLL = 0.01


@dataclass(frozen=True)
class Options:
    """The URL's options: `example://host?lease=30s`. An unknown one is refused for you."""

    lease: timedelta = timedelta(seconds=60)
    timeout: timedelta = timedelta(seconds=10)


class ExampleDriver:
    """Moves messages over one broker.

    Args:
        broker: the client to use; None is the one of this process.
        lease: how long a delivery belongs to its receiver.
        timeout: how long a verb may take; give it to your client's calls.
    """

    def __init__(
        self,
        broker: StandIn | None = None,
        *,
        lease: timedelta = Options.lease,
        timeout: timedelta = Options.timeout,
    ) -> None:
        self._broker = broker or SHARED
        self._lease, self._timeout = lease, timeout
        self._closed = True

    @classmethod
    def from_url(cls, url: BrokerUrl) -> ExampleDriver:
        """Called by Waybill: `url` has hosts, path, username and password, each decoded. Show none of it in errors."""
        options = url.options(Options)
        return cls(lease=options.lease, timeout=options.timeout)

    @property
    def capabilities(self) -> Capabilities:
        """Claim little at first. The suite refutes what is not so, and a claim that is missing costs only speed."""
        return Capabilities(
            max_message_bytes=None,  # the broker's own limit, less some 8 KiB that `wrap` may add
            lease=self._lease,  # None where the connection holds the delivery
            durability="process",
            fencing="strict",  # "local" where the broker settles whatever it is told
            idempotent_enqueue=None,
            exact_attempts=False,
            ordering="none",
        )

    async def open(self) -> None:
        """Connect, once. What a person can mend is a ConfigurationError, what may pass a BrokerUnavailableError."""
        self._closed = False

    async def close(self) -> None:
        """Disconnect. Leases go on; messages that were fetched ahead and given to nobody are given back here."""
        self._closed = True

    # -- sending -------------------------------------------------------------------------------------------

    async def enqueue(self, message: Message) -> str:
        """Return once the broker has confirmed it.

        If the bytes may have left and no answer came, raise EnqueueUnknownError; if nothing left,
        BrokerUnavailableError; if the broker refused, EnqueueRejectedError.
        """
        return await self.enqueue_in(message, ZERO)

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        """By the broker's clock, if it has delays of its own."""
        return await self.enqueue_at(message, self._open.clock.now() + delay)

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        """A moment in the past is now."""
        # `wrap` puts id, priority, headers and the rest beside the job's fields. If your broker has headers, an id or
        # a priority of its own, you may use those, and send `message.body` as it is.
        return self._open.put(message.queue, wrap(message), when)

    # -- receiving -----------------------------------------------------------------------------------------

    async def receive(self, queue: str, *, limit: int, wait: timedelta) -> list[Delivery]:
        """Up to *limit*, as soon as there is one.

        Here nothing is awaited between taking messages and returning them, so a cancellation finds none in between.
        Where your client's call does both, see “cancelled while receiving” in Waybill's page on writing a driver.
        """
        clock = self._open.clock
        end = clock.now() + wait
        while True:
            taken = self._open.take(queue, limit, self._lease)
            if taken or clock.now() >= end:
                return [self._delivery(queue, entry) for entry in taken]
            await asyncio.sleep(POLL)  # replace it by the broker's own waiting, which costs nothing and wakes at once

    def _delivery(self, queue: str, entry: Entry) -> Delivery:
        message = unwrap(entry.data, queue=queue, broker_id=str(entry.number)).message
        return Delivery(message, entry.attempt, entry.receipt, entry.at)

    # -- settling ------------------------------------------------------------------------------------------

    async def ack(self, delivery: Delivery) -> None:
        """Done. A delivery that is no longer the caller's is a LeaseLostError, here and in every verb below."""
        if not self._open.remove(delivery.message.queue, delivery.receipt):
            raise _lost(delivery)

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        """For another attempt, not before *delay*."""
        if not self._open.put_back(delivery.message.queue, delivery.receipt, delay):
            raise _lost(delivery)

    @property
    def _open(self) -> StandIn:
        if self._closed:
            raise DriverClosedError("the driver is closed; open() it")
        return self._broker

    def __repr__(self) -> str:
        return "ExampleDriver()"  # where it is may be told here, a password never


def _lost(delivery: Delivery) -> LeaseLostError:
    return LeaseLostError(f"job {delivery.message.id}: attempt {delivery.attempt} is no longer this worker's")


# -- the broker, until there is one ------------------------------------------------------------------------


@dataclass
class Entry:
    """Bytes, and from when on anybody may take them."""

    number: int
    data: bytes
    at: datetime
    attempt: int = 0
    receipt: int = 0


@dataclass
class StandIn:
    """Lists of bytes in memory. Remove it once the broker is in its place."""

    clock: Clock = field(default_factory=SystemClock)
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, queue: str, data: bytes, at: datetime) -> str:
        with self.lock:
            entry = Entry(next(self.numbers), data, at)
            self.entries.setdefault(queue, []).append(entry)
            return str(entry.number)

    def take(self, queue: str, limit: int, lease: timedelta) -> list[Entry]:
        with self.lock:
            now = self.clock.now()
            taken = [each for each in self.entries.get(queue, ()) if each.at <= now][:limit]
            for each in taken:
                each.at, each.attempt, each.receipt = now + lease, each.attempt + 1, next(self.numbers)
            return [Entry(each.number, each.data, each.at, each.attempt, each.receipt) for each in taken]

    def remove(self, queue: str, receipt: object) -> bool:
        with self.lock:
            entry = self._held(queue, receipt)
            if entry is not None:
                self.entries[queue].remove(entry)
            return entry is not None

    def put_back(self, queue: str, receipt: object, delay: timedelta) -> bool:
        with self.lock:
            entry = self._held(queue, receipt)
            if entry is not None:
                entry.at, entry.receipt = self.clock.now() + delay, 0
            return entry is not None

    def _held(self, queue: str, receipt: object) -> Entry | None:
        found = (each for each in self.entries.get(queue, ()) if each.receipt and each.receipt == receipt)
        return next(found, None)


SHARED = StandIn()

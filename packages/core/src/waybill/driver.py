"""The contract between Waybill and a broker: six verbs everybody has, and one protocol per verb that some have.

What can be called is claimed by defining it; what can only be promised is a value in `Capabilities`.
The core refuses whatever is over a limit before it calls a verb, and repeats what failed; a driver does I/O,
classifies errors (`waybill.errors`), and does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from .envelope import Message, UniqueKey, UniqueScope
from .errors import DeadReason, WaybillError
from .timing import ZERO
from .url import BrokerUrl

# -- values ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message handed to one receiver. Settle the newest one: `extend` returns its successor."""

    message: Message
    attempt: int
    """Begun deliveries of this message, this one included: 1 at first."""
    receipt: Any
    """The driver's own; nobody else looks inside."""
    leased_until: datetime | None = None
    """Aware UTC; None where the connection holds the delivery."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message given up, and why."""

    message: Message
    reason: DeadReason


@dataclass(frozen=True, slots=True)
class QueueStats:
    """How many messages are in each state; None for what the broker cannot tell."""

    ready: int | None
    delayed: int | None
    leased: int | None
    dead: int | None


T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Some entries, and what to give as `after` for those that follow (None: that was all)."""

    entries: Sequence[T]
    next: str | None


class StateValue(NamedTuple):
    """A value of the broker's key-value store; `version` changes at each put."""

    value: bytes
    version: int


class StateEntry(NamedTuple):
    """A value with its key, as it is listed."""

    key: str
    value: bytes
    version: int


class DelayedMessage(NamedTuple):
    """A message that waits for its time (aware UTC)."""

    message: Message
    due: datetime


@dataclass(frozen=True, slots=True)
class Note:
    """One thing `waybill doctor` says; an "error" stops a worker from starting."""

    level: Literal["ok", "info", "warning", "error"]
    fact: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class UniqueClaim:
    """The scopes a broker keeps, and whether it tells of a duplicate or drops it silently."""

    scopes: frozenset[UniqueScope] = frozenset()
    reported: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an open connection promises. Durations of None: any; a lease of None: the connection's."""

    max_message_bytes: int | None
    """The largest body, in bytes."""
    max_batch: int = 1
    """The best number of items for a batch verb; the driver splits larger ones."""
    parallel_batches: int = 1
    """How many batch calls of a kind pay off at once."""
    max_delay: timedelta | None = None
    max_nack_delay: timedelta | None = None
    """The core clamps a nack's delay to this."""
    delay_resolution: timedelta = timedelta(milliseconds=1)
    lease: timedelta | None
    max_run: timedelta | None = None
    """The longest a delivery can be held however often it is extended."""
    durability: Literal["process", "host-lazy", "host-fsync", "replicated"]
    fencing: Literal["strict", "local"]
    """Who refuses a stale receipt: the broker, or the driver by its own clock."""
    idempotent_enqueue: timedelta | None
    """How long a (queue, id) is remembered; zero: while it is stored; None: not at all."""
    exact_attempts: bool
    """Deliveries parked, cancelled or released never count, a killed holder's included."""
    ordering: Literal["none", "fifo", "group"]
    priorities: int = 1
    """Strict levels, 1 to 10; 1: none."""
    unique: UniqueClaim = UniqueClaim()
    purge: Literal["all", "ready", "lossy"] | None = None
    """What `purge` takes: waiting and delayed; waiting only; or it cannot be exact (needs force)."""
    dead_browse: Literal["ordered", "scan"] | None = None


# -- the six verbs -----------------------------------------------------------------------------------


class QueueDriver(Protocol):
    """A broker, reduced to moving messages.

    Methods may be called concurrently from one event loop. None retries by itself; each ends within the
    driver's `timeout` or raises BrokerUnavailableError; after close each raises DriverClosedError.
    """

    @property
    def capabilities(self) -> Capabilities:
        """True of this connection, and unchanged while it is open."""
        ...

    async def open(self) -> None:
        """Connect, once; raise what a person can act on."""
        ...

    async def close(self) -> None:
        """Flush what was settled, give parked messages back, end pending calls; leave leases running."""
        ...

    async def enqueue(self, message: Message) -> str:
        """Store the message and return the broker's id for it once it is confirmed.

        Raises:
            DuplicateJobError: its unique key is held by another id.
            EnqueueUnknownError: the bytes may have left and no answer came.
            EnqueueRejectedError, BrokerUnavailableError: nothing was stored.
        """
        ...

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        """Store it for later, by the broker's clock where it has one."""
        ...

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        """Store it for a moment (aware UTC); one in the past is now."""
        ...

    async def receive(self, queue: str, *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        """Lease up to *limit* messages; wait up to *wait* for the first, and for no further one.

        Never early, and cancellation-safe: a task cancelled in here loses no message.
        """
        ...

    async def ack(self, delivery: Delivery) -> None:
        """Done: never deliver it again.

        Raises:
            LeaseLostError: the delivery is no longer the caller's.
        """
        ...

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        """Give it back for another attempt, not before *delay*."""
        ...


# -- one protocol per further verb; a batch verb returns one outcome per item, in order ----------------

Due: TypeAlias = timedelta | datetime | None


@runtime_checkable
class EnqueuesBatches(Protocol):
    async def enqueue_batch(self, items: Sequence[tuple[Message, Due]]) -> Sequence[str | WaybillError]: ...


@runtime_checkable
class AcksBatches(Protocol):
    async def ack_batch(self, deliveries: Sequence[Delivery]) -> Sequence[WaybillError | None]: ...


@runtime_checkable
class NacksBatches(Protocol):
    async def nack_batch(self, items: Sequence[tuple[Delivery, timedelta]]) -> Sequence[WaybillError | None]: ...


@runtime_checkable
class ExtendsBatches(Protocol):
    async def extend_batch(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery | WaybillError]: ...


@runtime_checkable
class ReceivesMany(Protocol):
    async def receive_many(self, queues: Sequence[str], *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        """One wait over several queues, *limit* in total, earlier queues first."""
        ...


@runtime_checkable
class ExtendsLease(Protocol):
    async def extend(self, delivery: Delivery) -> Delivery:
        """A full lease again from now; the returned delivery is the one to settle.

        Where the lease is the connection's, nothing is sent and a lost connection is a LeaseLostError.
        """
        ...


@runtime_checkable
class Releases(Protocol):
    async def release(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        """Give it back without spending an attempt."""
        ...


@runtime_checkable
class Buries(Protocol):
    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None = None) -> None:
        """Keep it as a dead letter of its own queue, or of the queue *to*."""
        ...


@runtime_checkable
class ReadsDeadLetters(Protocol):
    async def list_dead(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        """Some of them, oldest first where `dead_browse` is "ordered"."""
        ...

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        """Send these message ids (None: all) back to the queue they came from, attempts forgotten."""
        ...

    async def purge_dead(self, queue: str) -> int | None: ...


@runtime_checkable
class Counts(Protocol):
    async def stats(self, queue: str) -> QueueStats: ...


@runtime_checkable
class ListsQueues(Protocol):
    async def queues(self) -> Sequence[str]: ...


@runtime_checkable
class ListsDelayed(Protocol):
    async def list_delayed(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DelayedMessage]:
        """Some of them, the earliest due first."""
        ...


@runtime_checkable
class Purges(Protocol):
    async def purge(self, queue: str, *, force: bool = False) -> int | None:
        """Remove what waits; leased and dead messages stay."""
        ...


@runtime_checkable
class Cancels(Protocol):
    async def cancel(self, queue: str, message_id: str) -> bool:
        """Remove one waiting or delayed message; True: it will never start."""
        ...


@runtime_checkable
class KeepsState(Protocol):
    async def state_get(self, key: str) -> StateValue | None: ...

    async def state_put(
        self, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None = None
    ) -> int | None:
        """Store if the version is still *expect* (None: if there is none); None: another was first."""
        ...

    async def state_delete(self, key: str, *, expect: int) -> bool: ...

    async def state_list(self, prefix: str, *, after: str | None = None, limit: int = 100) -> Page[StateEntry]:
        """Some of them, in the order of their keys."""
        ...


@runtime_checkable
class Clones(Protocol):
    def clone(self) -> QueueDriver:
        """An unopened driver on the same store whose verbs accept this one's receipts.

        A worker renews leases through one, on a thread and loop of its own, so that a blocked loop loses none.
        """
        ...


@runtime_checkable
class Diagnoses(Protocol):
    async def diagnose(self) -> Sequence[Note]: ...


OPTIONAL: Final[tuple[type[Any], ...]] = (
    EnqueuesBatches,
    AcksBatches,
    NacksBatches,
    ExtendsBatches,
    ReceivesMany,
    ExtendsLease,
    Releases,
    Buries,
    ReadsDeadLetters,
    Counts,
    ListsQueues,
    ListsDelayed,
    Purges,
    Cancels,
    KeepsState,
    Clones,
    Diagnoses,
)


def only(outcomes: Sequence[T | WaybillError]) -> T:
    """The one outcome of a batch of one, for a driver whose verbs are batches of one.

    Raises:
        WaybillError: the outcome is that error.
    """
    (outcome,) = outcomes
    if isinstance(outcome, WaybillError):
        raise outcome
    return outcome


def claims(driver: QueueDriver) -> Iterator[tuple[str, Any]]:
    """Everything *driver* says it can do, as (name, value): each optional protocol, then each capability."""
    for protocol in OPTIONAL:
        yield protocol.__name__, isinstance(driver, protocol)
    capabilities = driver.capabilities
    for each in fields(capabilities):
        yield each.name, getattr(capabilities, each.name)


__all__ = [
    "OPTIONAL",
    "AcksBatches",
    "BrokerUrl",
    "Buries",
    "Cancels",
    "Capabilities",
    "Clones",
    "Counts",
    "DeadLetter",
    "DeadReason",
    "DelayedMessage",
    "Delivery",
    "Diagnoses",
    "Due",
    "EnqueuesBatches",
    "ExtendsBatches",
    "ExtendsLease",
    "KeepsState",
    "ListsDelayed",
    "ListsQueues",
    "Message",
    "NacksBatches",
    "Note",
    "Page",
    "Purges",
    "QueueDriver",
    "QueueStats",
    "ReadsDeadLetters",
    "ReceivesMany",
    "Releases",
    "StateEntry",
    "StateValue",
    "UniqueClaim",
    "UniqueKey",
    "UniqueScope",
    "claims",
    "only",
]

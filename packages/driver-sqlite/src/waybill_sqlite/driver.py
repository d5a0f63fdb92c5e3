"""The verbs. Each is one call on the thread that owns the file; what it does there is in the module of its name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final, Literal, TypeVar, TypeVarTuple

from waybill.driver import (
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
from waybill.errors import BrokerUnavailableError, ConfigurationError, DeadReason, WaybillError
from waybill.timing import ZERO, Clock, Duration, SystemClock, parse_duration

from . import clear, dead, look, settle, state
from .actor import Actor, closed
from .diagnose import diagnose
from .enqueue import enqueue
from .failures import EXPECTED, OF_VALUES, UnansweredError, while_calling, while_opening, while_sending
from .opening import open_to_read, open_to_write
from .options import SqliteOptions
from .receive import Taken, receive
from .store import Store, moment
from .waiting import Waiting

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_CHUNK: Final = 2000  # rows that a purge removes in one transaction, so that others get their turn


class SqliteDriver:
    """Messages in one SQLite file, shared by any number of processes of one machine.

    Args:
        path: of the file; it is made if it is not there.
        durability: "full" survives a power cut, "normal" the end of any process.
        lease: how long a delivery belongs to its receiver.
        timeout: how long a verb may take.
        wake: how a waiting receive learns of other processes' jobs: "socket", "poll", or whichever works.
        poll: how often it looks where there is no socket.
        gate: whether the writers of all processes queue up at a lock of their own.
        cache_mb: SQLite's page cache, in MiB.
        clock: what it takes for the time.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["full", "normal"] = "full",
        lease: Duration = "60s",
        timeout: Duration = "10s",
        wake: Literal["auto", "socket", "poll"] = "auto",
        poll: Duration = "20ms",
        gate: bool = True,
        cache_mb: int = 16,
        clock: Clock | None = None,
    ) -> None:
        self.path = os.fspath(path)
        if not self.path or ":memory:" in self.path:
            raise ConfigurationError(
                f"{self.path!r} names no file: sqlite:///jobs.db is relative, sqlite:////var/lib/app/jobs.db is "
                "absolute. For messages in memory use memory://"
            )
        lease, timeout, poll = (parse_duration(each, bare=False) for each in (lease, timeout, poll))
        self.options = SqliteOptions(durability, lease, timeout, wake, poll, gate, cache_mb)
        self.clock = clock or SystemClock()
        self._writer: Actor | None = None
        self._reader: Actor | None = None
        self._waiting: Waiting | None = None

    @classmethod
    def from_url(cls, url: BrokerUrl) -> SqliteDriver:
        if url.hosts or url.username:
            raise ConfigurationError(
                "a SQLite URL has no host: sqlite:///jobs.db (three slashes) is relative, "
                "sqlite:////var/lib/app/jobs.db absolute"
            )
        return cls(url.path, **asdict(url.options(SqliteOptions)))

    def clone(self) -> SqliteDriver:
        return type(self)(self.path, **asdict(self.options), clock=self.clock)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            max_message_bytes=16 * 2**20,
            max_batch=1000,
            lease=self.options.lease,
            durability="host-fsync" if self.options.durability == "full" else "host-lazy",
            delay_resolution=timedelta(milliseconds=1),
            fencing="strict",
            idempotent_enqueue=ZERO,
            exact_attempts=True,
            ordering="group",
            priorities=10,
            unique=UniqueClaim(frozenset({"done", "start", "window"}), reported=True),
            purge="all",
            dead_browse="ordered",
        )

    # -- opening and closing ---------------------------------------------------------------------------

    async def open(self) -> None:
        if self._writer is not None and not self._writer.closing:
            return
        self._waiting = Waiting(self.options)
        self._writer = Actor("waybill-sqlite", self._open_to_write, self.options.timeout, self._waiting)
        self._reader = Actor("waybill-sqlite-reader", self._open_to_read, self.options.timeout)
        try:
            await self._writer.start()
        except BaseException as error:
            await self._writer.stop(patient=not isinstance(error, UnansweredError))
            if isinstance(error, EXPECTED):
                raise while_opening(error, self.path) from error
            raise

    async def close(self) -> None:
        if self._writer is None or self._reader is None or self._waiting is None:
            return
        self._writer.refuse()
        self._reader.refuse()
        self._waiting.wake(None)
        await asyncio.gather(self._writer.stop(), self._reader.stop())

    def _open_to_write(self) -> Store:
        assert self._writer is not None
        self.path = os.path.realpath(self.path)  # the working directory may change
        return open_to_write(self.path, self.options, self.clock, self._writer.is_wanted)

    def _open_to_read(self) -> Store:
        return open_to_read(self.path, self.options, self.clock)

    # -- sending ---------------------------------------------------------------------------------------

    async def enqueue(self, message: Message) -> str:
        return await self._enqueue(message, None)

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        return await self._enqueue(message, delay)

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        return await self._enqueue(message, when)

    async def _enqueue(self, message: Message, due: Due) -> str:
        try:
            outcomes = await self._open_writer().call(enqueue, ((message, due),))
        except EXPECTED as error:
            raise while_sending(error, self.path, message) from error
        return _only(outcomes)

    async def enqueue_batch(self, items: Sequence[tuple[Message, Due]]) -> Sequence[str | WaybillError]:
        try:
            return await self._open_writer().call(enqueue, items)
        except EXPECTED as error:
            if isinstance(error, OF_VALUES) and len(items) > 1:
                return await self._enqueue_each(items)
            return [_caused(while_sending(error, self.path, message), error) for message, _ in items]

    async def _enqueue_each(self, items: Sequence[tuple[Message, Due]]) -> Sequence[str | WaybillError]:
        """Let only those fail that are to blame."""
        return [outcome for item in items for outcome in await self.enqueue_batch((item,))]

    # -- receiving -------------------------------------------------------------------------------------

    async def receive(self, queue: str, *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        return await self.receive_many((queue,), limit=limit, wait=wait)

    async def receive_many(self, queues: Sequence[str], *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        waiting = self._waiting
        end = self.clock.now() + wait
        if wait <= ZERO or waiting is None:
            return (await self._take(queues, limit)).deliveries
        if waiting.how is None:
            await self._write(waiting.listen)
        waiter = waiting.add(queues)
        try:
            while True:
                taken = await self._take(queues, limit)
                if taken.deliveries:
                    waiting.wake(queues, but=waiter)  # their next change may be the end of these leases
                    return taken.deliveries
                now = self.clock.now()
                if now >= end:
                    return []
                at = end if taken.next_change is None else min(end, moment(taken.next_change))
                await waiter.wait(self.clock, at - now)
        finally:
            waiting.remove(waiter)

    async def _take(self, queues: Sequence[str], limit: int) -> Taken:
        return await self._write(receive, queues, limit, undo=self._put_back)

    def _put_back(self, taken: Taken) -> None:
        if taken.deliveries:
            self._open_writer().post(settle.release, [(delivery, ZERO) for delivery in taken.deliveries])

    # -- settling --------------------------------------------------------------------------------------

    async def ack(self, delivery: Delivery) -> None:
        _only(await self._write(settle.ack, (delivery,)))

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        _only(await self._write(settle.nack, ((delivery, delay),)))

    async def release(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        _only(await self._write(settle.release, ((delivery, delay),)))

    async def extend(self, delivery: Delivery) -> Delivery:
        return _only(await self._write(settle.extend, (delivery,)))

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None = None) -> None:
        await self._write(settle.bury, delivery, reason, to)

    async def ack_batch(self, deliveries: Sequence[Delivery]) -> Sequence[WaybillError | None]:
        return await self._write(settle.ack, deliveries)

    async def nack_batch(self, items: Sequence[tuple[Delivery, timedelta]]) -> Sequence[WaybillError | None]:
        return await self._write(settle.nack, items)

    async def extend_batch(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery | WaybillError]:
        return await self._write(settle.extend, deliveries)

    # -- dead letters ----------------------------------------------------------------------------------

    async def list_dead(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        return await self._read(dead.list_dead, queue, after, limit)

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        last = await self._read(dead.last_dead, queue)
        return await self._in_chunks(dead.retry_dead, queue, last, ids)

    async def purge_dead(self, queue: str) -> int:
        last = await self._read(dead.last_dead, queue)
        return await self._in_chunks(dead.purge_dead, queue, last)

    # -- looking and clearing --------------------------------------------------------------------------

    async def stats(self, queue: str) -> QueueStats:
        return await self._read(look.stats, queue)

    async def queues(self) -> Sequence[str]:
        return await self._read(look.queues)

    async def list_delayed(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DelayedMessage]:
        return await self._read(look.list_delayed, queue, after, limit)

    async def purge(self, queue: str, *, force: bool = False) -> int:
        last = await self._read(clear.last)
        return await self._in_chunks(clear.purge, queue, last)

    async def cancel(self, queue: str, message_id: str) -> bool:
        return await self._write(clear.cancel, queue, message_id)

    async def diagnose(self) -> Sequence[Note]:
        wake = None if self._waiting is None else self._waiting.how
        return await self._read(diagnose, self.options, wake)

    # -- state -----------------------------------------------------------------------------------------

    async def state_get(self, key: str) -> StateValue | None:
        return await self._read(state.state_get, key)

    async def state_put(
        self, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None = None
    ) -> int | None:
        return await self._write(state.state_put, key, value, expect, ttl)

    async def state_delete(self, key: str, *, expect: int) -> bool:
        return await self._write(state.state_delete, key, expect)

    async def state_list(self, prefix: str, *, after: str | None = None, limit: int = 100) -> Page[StateEntry]:
        return await self._read(state.state_list, prefix, after, limit)

    # -- calling ---------------------------------------------------------------------------------------

    def _open_writer(self) -> Actor:
        if self._writer is None:
            raise closed()
        return self._writer

    async def _write(
        self, verb: Callable[[Store, *Ts], T], *arguments: *Ts, undo: Callable[[T], object] | None = None
    ) -> T:
        try:
            return await self._open_writer().call(verb, *arguments, undo=undo)
        except EXPECTED as error:
            raise while_calling(error, self.path, verb.__name__) from error

    async def _read(self, verb: Callable[[Store, *Ts], T], *arguments: *Ts) -> T:
        reader = self._reader
        if reader is None:
            raise closed()
        try:
            return await reader.call(verb, *arguments)
        except EXPECTED as error:
            raise while_calling(error, self.path, verb.__name__) from error

    async def _in_chunks(self, verb: Callable[[Store, *Ts, int], int], *arguments: *Ts) -> int:
        """Call *verb* until it finds nothing more, each time in a transaction of its own; the sum."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.options.timeout.total_seconds()
        total = 0
        while done := await self._write(verb, *arguments, _CHUNK):
            total += done
            if loop.time() > deadline:
                raise BrokerUnavailableError(
                    f"{verb.__name__} on {self.path}: {total:,} are done and some are left after "
                    f"{self.options.timeout.total_seconds():g} s. Call it again, or give timeout=60s."
                )
        return total

    def __repr__(self) -> str:
        return f"SqliteDriver({self.path!r})"


def _only(outcomes: Sequence[T | WaybillError]) -> T:
    """The one outcome of a batch of one."""
    (outcome,) = outcomes
    if isinstance(outcome, WaybillError):
        raise outcome
    return outcome


def _caused(error: WaybillError, cause: Exception) -> WaybillError:
    error.__cause__ = cause
    return error

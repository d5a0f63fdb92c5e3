"""The verbs. Each is one call on the thread that owns the file; what it does there is in the module of its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Literal

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
    only,
)
from waybill.errors import ConfigurationError, DeadReason, WaybillError
from waybill.timing import ZERO, Clock, Duration, SystemClock, parse_duration

from . import clear, dead, look, settle, state
from .calls import closed
from .database import Database
from .diagnose import diagnose
from .enqueue import enqueue
from .failures import EXPECTED, OF_VALUES, while_sending
from .options import SqliteOptions
from .receive import Taken, receive
from .store import moment


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
        self._database: Database | None = None

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
        if self._database is None or self._database.closing:
            self._database = Database(self.path, self.options, self.clock)
            await self._database.open()
            self.path = self._database.path

    async def close(self) -> None:
        if self._database is not None:
            await self._database.close()

    # -- sending ---------------------------------------------------------------------------------------

    async def enqueue(self, message: Message) -> str:
        return await self._enqueue(message, None)

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        return await self._enqueue(message, delay)

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        return await self._enqueue(message, when)

    async def _enqueue(self, message: Message, due: Due) -> str:
        try:
            outcomes = await self._open_file.writer.call(enqueue, ((message, due),))
        except EXPECTED as error:
            raise while_sending(error, self.path, message) from error
        return only(outcomes)

    async def enqueue_batch(self, items: Sequence[tuple[Message, Due]]) -> Sequence[str | WaybillError]:
        try:
            return await self._open_file.writer.call(enqueue, items)
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
        file = self._open_file
        if wait <= ZERO:
            return (await self._take(file, queues, limit)).deliveries
        end = self.clock.now() + wait
        if file.waiting.how is None:
            await file.write(file.waiting.listen)
        waiter = file.waiting.add(queues)
        try:
            while True:
                taken = await self._take(file, queues, limit)
                if taken.deliveries:
                    file.waiting.wake(queues, but=waiter)  # their next change may be the end of these leases
                    return taken.deliveries
                now = self.clock.now()
                if now >= end:
                    return []
                at = end if taken.next_change is None else min(end, moment(taken.next_change))
                await waiter.wait(self.clock, at - now)
        finally:
            file.waiting.remove(waiter)

    async def _take(self, file: Database, queues: Sequence[str], limit: int) -> Taken:
        def put_back(taken: Taken) -> None:
            file.writer.post(settle.release, [(delivery, ZERO) for delivery in taken.deliveries])

        return await file.write(receive, queues, limit, undo=put_back)

    # -- settling --------------------------------------------------------------------------------------

    async def ack(self, delivery: Delivery) -> None:
        only(await self._open_file.write(settle.ack, (delivery,)))

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        only(await self._open_file.write(settle.nack, ((delivery, delay),)))

    async def release(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        only(await self._open_file.write(settle.release, ((delivery, delay),)))

    async def extend(self, delivery: Delivery) -> Delivery:
        return only(await self._open_file.write(settle.extend, (delivery,)))

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None = None) -> None:
        await self._open_file.write(settle.bury, delivery, reason, to)

    async def ack_batch(self, deliveries: Sequence[Delivery]) -> Sequence[WaybillError | None]:
        return await self._open_file.write(settle.ack, deliveries)

    async def nack_batch(self, items: Sequence[tuple[Delivery, timedelta]]) -> Sequence[WaybillError | None]:
        return await self._open_file.write(settle.nack, items)

    async def extend_batch(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery | WaybillError]:
        return await self._open_file.write(settle.extend, deliveries)

    # -- dead letters ----------------------------------------------------------------------------------

    async def list_dead(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        return await self._open_file.read(dead.list_dead, queue, after, limit)

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        last = await self._open_file.read(dead.last_dead, queue)
        return await self._open_file.write_in_chunks(dead.retry_dead, queue, last, ids)

    async def purge_dead(self, queue: str) -> int:
        last = await self._open_file.read(dead.last_dead, queue)
        return await self._open_file.write_in_chunks(dead.purge_dead, queue, last)

    # -- looking and clearing --------------------------------------------------------------------------

    async def stats(self, queue: str) -> QueueStats:
        return await self._open_file.read(look.stats, queue)

    async def queues(self) -> Sequence[str]:
        return await self._open_file.read(look.queues)

    async def list_delayed(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DelayedMessage]:
        return await self._open_file.read(look.list_delayed, queue, after, limit)

    async def purge(self, queue: str, *, force: bool = False) -> int:
        last = await self._open_file.read(clear.last)
        return await self._open_file.write_in_chunks(clear.purge, queue, last)

    async def cancel(self, queue: str, message_id: str) -> bool:
        return await self._open_file.write(clear.cancel, queue, message_id)

    async def diagnose(self) -> Sequence[Note]:
        file = self._open_file
        return await file.read(diagnose, self.options, file.waiting.how)

    # -- state -----------------------------------------------------------------------------------------

    async def state_get(self, key: str) -> StateValue | None:
        return await self._open_file.read(state.state_get, key)

    async def state_put(
        self, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None = None
    ) -> int | None:
        return await self._open_file.write(state.state_put, key, value, expect, ttl)

    async def state_delete(self, key: str, *, expect: int) -> bool:
        return await self._open_file.write(state.state_delete, key, expect)

    async def state_list(self, prefix: str, *, after: str | None = None, limit: int = 100) -> Page[StateEntry]:
        return await self._open_file.read(state.state_list, prefix, after, limit)

    # ---------------------------------------------------------------------------------------------------

    @property
    def _open_file(self) -> Database:
        if self._database is None:
            raise closed()
        return self._database

    def __repr__(self) -> str:
        return f"SqliteDriver({self.path!r})"


def _caused(error: WaybillError, cause: Exception) -> WaybillError:
    error.__cause__ = cause
    return error

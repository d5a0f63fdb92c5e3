"""An open driver as the core uses it: refusals before I/O, coalesced verbs, a substitute for each verb it lacks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..driver import (
    AcksBatches,
    Buries,
    Capabilities,
    Delivery,
    Due,
    EnqueuesBatches,
    ExtendsBatches,
    ExtendsLease,
    Message,
    NacksBatches,
    QueueDriver,
    ReceivesMany,
    Releases,
)
from ..errors import (
    BrokerUnavailableError,
    DeadReason,
    DelayNotSupportedError,
    DuplicateJobError,
    EnqueueError,
    EnqueueUnknownError,
    EnqueueUnsupportedError,
    PayloadTooLargeError,
    WaybillError,
    as_enqueue_error,
)
from ..jobs.options import PRIORITIES
from ..queues import dead_queue
from ..retry import soon
from ..timing import ZERO, Clock, format_moment, sleep
from .coalescer import Coalescer, one_each

Parcel = tuple[Message, Due]
_LONGEST_PAUSE = timedelta(seconds=2)
_CENTURY = timedelta(days=36_525)  # no clock can add timedelta.max


class Connection:
    """A driver that is open on the running loop.

    Args:
        driver: already open.
        clock: for waits between repeats.
        enqueue_timeout: how long, from its first try, an enqueue with an unknown outcome is repeated.
    """

    def __init__(self, driver: QueueDriver, clock: Clock, enqueue_timeout: timedelta) -> None:
        self.driver, self.clock = driver, clock
        self.capabilities: Capabilities = driver.capabilities
        self._enqueue_timeout = enqueue_timeout
        size, flights = max(self.capabilities.max_batch, 1), self.capabilities.parallel_batches
        self._enqueue_many = driver.enqueue_batch if isinstance(driver, EnqueuesBatches) else None
        self._enqueue = Coalescer[Parcel, str](self._enqueue_one, self._enqueue_many, size, flights)
        ack_many = driver.ack_batch if isinstance(driver, AcksBatches) else None
        self.ack = Coalescer[Delivery, None](driver.ack, ack_many, size, flights, gathers=True)
        nack_many = driver.nack_batch if isinstance(driver, NacksBatches) else None
        self._nack = Coalescer[tuple[Delivery, timedelta], None](self._nack_one, nack_many, size, flights, gathers=True)

    async def close(self, *, leave_open: bool = False) -> None:
        """Finish what is under way, and close the driver unless another connection needs it."""
        for each in (self._enqueue, self.ack, self._nack):
            await each.drain()
        if not leave_open:
            await self.driver.close()

    # -- sending ---------------------------------------------------------------------------------------

    def fit(self, message: Message, due: Due, job_name: str) -> Message:
        """The message as this broker keeps it: 0 to 9 becomes one of its priorities.

        Raises:
            EnqueueError: the broker cannot keep it; nothing was sent.
        """
        able = self.capabilities
        if able.max_message_bytes is not None and len(message.body) > able.max_message_bytes:
            raise PayloadTooLargeError(len(message.body), able.max_message_bytes, job_name, "the driver's limit")
        if due is not None and able.max_delay is not None:
            delay = due if isinstance(due, timedelta) else due - self.clock.now()
            if delay > able.max_delay:
                raise DelayNotSupportedError(job_name, delay, able.max_delay)
        if message.priority or message.unique is not None or message.group is not None:  # few are
            return _kept(message, able, job_name)
        return message

    async def send(self, message: Message, due: Due) -> str:
        """Enqueue one message; an unknown outcome is repeated with the same id, as far as that is safe.

        Raises:
            EnqueueError: the message was not accepted, or nobody knows.
        """
        start = self.clock.monotonic()
        try:
            return await self._enqueue((message, due))
        except Exception as error:
            outcome = await self._second_outcome((message, due), error, start)
            if isinstance(outcome, str):
                return outcome
            raise outcome from outcome.__cause__

    async def send_many(
        self, parcels: Sequence[Parcel], progress: Callable[[int], object] = lambda _: None
    ) -> list[str | EnqueueError]:
        """Enqueue in as few calls as there can be; one outcome per message, in order."""
        size = max(self.capabilities.max_batch, 1)
        chunks = [parcels[at : at + size] for at in range(0, len(parcels), size)]
        flights = asyncio.Semaphore(self.capabilities.parallel_batches)

        async def fly(chunk: Sequence[Parcel]) -> list[str | EnqueueError]:
            async with flights:
                outcomes = await self._send_chunk(chunk)
            progress(len(chunk))
            return outcomes

        if self.capabilities.parallel_batches == 1:
            return [outcome for chunk in chunks for outcome in await fly(chunk)]
        return [outcome for flown in await asyncio.gather(*map(fly, chunks)) for outcome in flown]

    async def _send_chunk(self, chunk: Sequence[Parcel]) -> list[str | EnqueueError]:
        outcomes: list[Any]
        start = self.clock.monotonic()
        if self._enqueue_many is None:
            outcomes = await asyncio.gather(*map(self._enqueue_one, chunk), return_exceptions=True)
        else:
            try:
                outcomes = list(one_each(await self._enqueue_many(chunk), chunk))
            except Exception as error:
                outcomes = [error] * len(chunk)
        settled: list[str | EnqueueError] = [*outcomes]
        failed = [index for index, outcome in enumerate(outcomes) if not isinstance(outcome, str)]
        second = await asyncio.gather(*(self._second_outcome(chunk[index], outcomes[index], start) for index in failed))
        for index, outcome in zip(failed, second, strict=True):
            settled[index] = outcome
        return settled

    async def _second_outcome(self, parcel: Parcel, error: Exception, start: float) -> str | EnqueueError:
        mapped = as_enqueue_error(error, parcel[0].id)
        if mapped is not error:
            mapped.__cause__ = error
        if not isinstance(mapped, EnqueueUnknownError):
            return mapped
        try:
            return await self._repeat(parcel, mapped, start)
        except EnqueueError as final:
            return final

    async def _repeat(self, parcel: Parcel, error: EnqueueUnknownError, start: float) -> str:
        """Enqueue again while the broker would recognise the id: it may have stored it right at *start*.

        Raises:
            EnqueueUnknownError: nobody will ever know; whatever a repeat says, the first one may have been stored.
            DuplicateJobError: it was not, as another holds its unique key.
        """
        memory = self.capabilities.idempotent_enqueue
        end = start + min(self._enqueue_timeout, memory or ZERO).total_seconds()
        for attempt in itertools.count(1):
            wait = soon(attempt, _LONGEST_PAUSE)
            if self.clock.monotonic() + wait.total_seconds() >= end:
                break
            await sleep(self.clock, wait)
            if self.clock.monotonic() >= end:  # this process stood still
                break
            try:
                return await self._enqueue(parcel)
            except (EnqueueUnknownError, BrokerUnavailableError):
                continue
            except DuplicateJobError:
                raise
            except Exception as again:
                raise EnqueueUnknownError(parcel[0].id, f"and then {type(again).__name__}: {again}") from again
        if error.job_id == parcel[0].id:
            raise error
        raise EnqueueUnknownError(parcel[0].id) from error  # it was told of a whole batch

    async def _enqueue_one(self, parcel: Parcel) -> str:
        message, due = parcel
        if due is None:
            return await self.driver.enqueue(message)
        if isinstance(due, timedelta):
            return await self.driver.enqueue_in(message, due)
        return await self.driver.enqueue_at(message, due)

    # -- receiving -------------------------------------------------------------------------------------

    async def receive(self, queues: Sequence[str], *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        """Lease up to *limit* messages of several queues, earlier queues first."""
        driver = self.driver
        if len(queues) == 1:
            return await driver.receive(queues[0], limit=limit, wait=wait)
        if isinstance(driver, ReceivesMany):
            return await driver.receive_many(queues, limit=limit, wait=wait)
        return await self._probe(queues, limit) or await self._wait_on_all(queues, limit, wait)

    async def _probe(self, queues: Sequence[str], limit: int) -> list[Delivery]:
        found: list[Delivery] = []
        try:
            for queue in queues:
                if len(found) < limit:
                    found += await self.driver.receive(queue, limit=limit - len(found), wait=ZERO)
        except asyncio.CancelledError:
            await self._release_all(found)
            raise
        except Exception:
            if not found:
                raise
        return found

    async def _wait_on_all(self, queues: Sequence[str], limit: int, wait: timedelta) -> list[Delivery]:
        """Wait on each queue for one message; what comes beyond *limit* goes back, the later queues' first."""
        if wait <= ZERO:
            return []
        waiting = [asyncio.ensure_future(self.driver.receive(queue, limit=1, wait=wait)) for queue in queues]
        interrupted = False
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            interrupted = True
        interrupted |= await _cancelled(waiting)
        outcomes = [None if each.cancelled() else each.exception() or each.result() for each in waiting]
        found = [one for outcome in outcomes if isinstance(outcome, Sequence) for one in outcome]
        try:
            await self._release_all(found if interrupted else found[limit:])
        except asyncio.CancelledError:
            interrupted = True
            await self._release_all(found)
        if interrupted:
            raise asyncio.CancelledError
        failures = [each for each in outcomes if isinstance(each, Exception)]
        if failures and not found:
            raise failures[0]
        return found[:limit]

    async def _release_all(self, deliveries: Sequence[Delivery]) -> None:
        for each in reversed(deliveries):
            with contextlib.suppress(WaybillError):
                await self.release(each)

    # -- settling; `ack` is the driver's own, coalesced ------------------------------------------------

    @property
    def extends(self) -> bool:
        """Whether leases can be renewed at all."""
        return isinstance(self.driver, ExtendsLease)

    async def extend_all(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery | BaseException]:
        """Renew leases; the delivery to settle, or an error, for each."""
        if isinstance(self.driver, ExtendsBatches):
            return await self.driver.extend_batch(deliveries)
        assert isinstance(self.driver, ExtendsLease)
        return await asyncio.gather(*map(self.driver.extend, deliveries), return_exceptions=True)

    async def nack(self, delivery: Delivery, delay: timedelta = ZERO) -> None:
        """Give it back for another attempt, not later than the broker can wait."""
        longest = self.capabilities.max_nack_delay
        await self._nack((delivery, min(delay, _CENTURY if longest is None else longest)))

    async def _nack_one(self, item: tuple[Delivery, timedelta]) -> None:
        delivery, delay = item
        await self.driver.nack(delivery, delay=delay)

    async def release(self, delivery: Delivery, delay: timedelta = ZERO) -> None:
        """Give it back without spending an attempt, where the broker can."""
        if isinstance(self.driver, Releases):
            await self.driver.release(delivery, delay=delay)
        else:
            await self.nack(delivery, delay)

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None) -> None:
        """Keep it as a dead letter; where the broker cannot, in a queue named like its own with ".dead"."""
        if isinstance(self.driver, Buries):
            await self.driver.bury(delivery, reason, to)
        else:
            await self.keep_dead(delivery.message, reason, to)
            await self.ack(delivery)

    async def keep_dead(self, message: Message, reason: DeadReason, to: str | None) -> None:
        """Keep a copy in the queue named like its own with ".dead", the reason among its headers."""
        why = {
            "waybill-dead-code": reason.code,
            "waybill-dead-error": reason.error.encode("ascii", "backslashreplace").decode()[:1024],
            "waybill-dead-attempt": str(reason.attempt),
            "waybill-dead-at": format_moment(reason.at),
        }
        copy = replace(
            message, queue=dead_queue(to or message.queue), unique=None, group=None, priority=0,
            headers={**message.headers, **why},
        )  # fmt: skip
        await self.driver.enqueue(copy)


async def _cancelled(tasks: Sequence[asyncio.Task[Sequence[Delivery]]]) -> bool:
    """Cancel tasks and wait for their end, as they may hold deliveries; whether the caller was cancelled meanwhile."""
    for each in tasks:
        each.cancel()
    interrupted = False
    while not all(each.done() for each in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            interrupted = True
    return interrupted


def _kept(message: Message, able: Capabilities, job_name: str) -> Message:
    """A message that asks for more than to be moved, as a broker that is able to keep it does."""
    lacking = None
    if message.priority and able.priorities == 1:
        lacking = "priorities"
    elif message.unique is not None and message.unique.until not in able.unique.scopes:
        lacking = f"unique keys until {message.unique.until!r}"
    elif message.group is not None and able.ordering != "group":
        lacking = "the order of groups"
    if lacking is not None:
        raise EnqueueUnsupportedError(f"{job_name}: this broker does not keep {lacking}. Nothing was sent.")
    if message.priority and able.priorities != PRIORITIES:
        return replace(message, priority=message.priority * able.priorities // PRIORITIES)
    return message

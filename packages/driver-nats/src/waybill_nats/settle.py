"""What becomes of a delivery: done, given back, held longer, or given up.

What is given back for another attempt is sent anew with its attempts, and then the delivery is acked, in this order:
a crash in between leaves one message too many, and never one too few.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from waybill.driver import Delivery
from waybill.envelope import Message, unwrap, wrap
from waybill.errors import DeadReason, LeaseLostError, WaybillError
from waybill.timing import ZERO

from .bucket import Bucket
from .failures import EXPECTED, while_calling
from .letters import head
from .names import Names, token
from .parcel import due_at, pack
from .receipt import Receipt, seconds_held, standing
from .server import Server
from .topology import Topology
from .unique import UniqueKeys
from .unspent import NAK, Unspent

_ACK: Final = b"+ACK"
_PROGRESS: Final = b"+WPI"


class Settling:
    """The settlers of one open driver."""

    def __init__(
        self,
        server: Server,
        names: Names,
        topology: Topology,
        bucket: Bucket,
        *,
        keys: UniqueKeys,
        unspent: Unspent,
    ) -> None:
        self._server, self._names, self._topology = server, names, topology
        self._bucket, self._keys, self._unspent = bucket, keys, unspent
        self._held = seconds_held(server.options.lease)

    # -- done ------------------------------------------------------------------------------------------

    async def ack(self, deliveries: Sequence[Delivery]) -> list[WaybillError | None]:
        """Remove what is done."""
        self._server.check_caller()
        outcomes: list[WaybillError | None] = [None] * len(deliveries)
        held: dict[int, Receipt] = {}
        for number, delivery in enumerate(deliveries):
            try:
                held[number] = receipt = standing(delivery)
                receipt.settled = True  # from here on: twice in one batch is once too often
            except LeaseLostError as error:
                outcomes[number] = error
        failures = await self._tell(held, _ACK, confirm=self._server.options.ack == "confirm")
        for number, failure in failures.items():
            held[number].settled = False
            outcomes[number] = failure
        await self._clear([deliveries[number] for number in held if outcomes[number] is None])
        return outcomes

    async def _clear(self, done: Sequence[Delivery]) -> None:
        """Remove what belongs to messages that are gone."""
        for delivery in done:
            if delivery.receipt.counted:
                self._server.run_errand(self._bucket.remove(delivery.receipt.counted))
        keyed = [delivery.message for delivery in done if delivery.message.unique is not None]
        if keyed:
            await asyncio.gather(*(self._keys.free(message, "done", "start") for message in keyed))

    async def _tell(self, held: dict[int, Receipt], word: bytes, *, confirm: bool = True) -> dict[int, WaybillError]:
        """Say the same of many deliveries; the numbers of those of which it is not sure that they were heard.

        A consumer reads in order what it is told, so its answer to the last is one to all.
        """
        by_consumer: dict[str, list[int]] = {}
        for number, receipt in held.items():
            by_consumer.setdefault(receipt.consumer, []).append(number)
        answers: dict[str, asyncio.Future[bytes]] = {}
        problem: Exception | None = None
        try:
            async with self._server.deadline():
                link = await self._server.link()
                for consumer, numbers in by_consumer.items():
                    for number in numbers[: -1 if confirm else None]:
                        link.tell(held[number].reply, word)
                    if confirm:
                        answers[consumer] = link.ask(held[numbers[-1]].reply, word)
                if answers:
                    await asyncio.wait(answers.values())
        except EXPECTED as error:
            problem = error
        failures: dict[int, WaybillError] = {}
        for consumer, numbers in by_consumer.items():
            failed = _failure(answers.get(consumer), problem)
            if failed is not None:
                for number in numbers:
                    failures[number] = self._told(failed, "settle a delivery")
        return failures

    def _told(self, error: Exception, verb: str) -> WaybillError:
        told = while_calling(error, self._server.address.where, verb)
        told.__cause__ = error
        return told

    # -- given back ------------------------------------------------------------------------------------

    async def give_back(self, items: Sequence[tuple[Delivery, timedelta]]) -> list[WaybillError | None]:
        """Another attempt, after a delay."""
        self._server.check_caller()
        return await asyncio.gather(
            *(self._outcome(self._again(delivery, delay, spent=True)) for delivery, delay in items)
        )

    async def release(self, delivery: Delivery, delay: timedelta) -> None:
        """Another receiver's turn, as if there had been none; without a delay it keeps its place.

        Raises:
            LeaseLostError: the delivery is no longer its receiver's.
        """
        self._server.check_caller()
        if delay > ZERO:
            await self._again(delivery, delay, spent=False)
            return
        receipt = standing(delivery)
        receipt.settled = True
        try:
            async with self._server.deadline():
                await self._unspent.forgive(
                    delivery.message.queue, receipt.seq, receipt.stored, first=receipt.delivered == 1
                )
                await (await self._server.link()).ask(receipt.reply, NAK)
        except BaseException:
            receipt.settled = False
            raise

    async def _again(self, delivery: Delivery, delay: timedelta, *, spent: bool) -> None:
        receipt = standing(delivery)
        if delay > ZERO:
            await self._server.ask_the_time()
        queue = await self._topology.to_send(delivery.message.queue)
        attempts = delivery.attempt if spent else delivery.attempt - 1
        due = due_at(delay, self._server.clock)
        parcel = pack(
            self._names,
            queue,
            _as_stored(delivery),
            receipt.level,
            name=f"~again.{receipt.seq}.{receipt.delivered}",
            due=due,
            attempts=attempts,
        )
        await self._move(receipt, parcel)
        if receipt.counted:
            self._server.run_errand(self._bucket.remove(receipt.counted))

    async def _move(self, receipt: Receipt, parcel: tuple[str, bytes, dict[str, str]]) -> None:
        """Store a copy, then ack."""
        if receipt.settled:
            raise LeaseLostError("the delivery was settled meanwhile")
        receipt.settled = True
        try:
            await self._server.publish(*parcel)
            await self._server.ask(receipt.reply, _ACK)
        except BaseException:
            receipt.settled = False
            raise

    async def _outcome(self, work: Awaitable[None]) -> WaybillError | None:
        try:
            await work
        except WaybillError as error:
            return error
        except EXPECTED as error:
            return self._told(error, "give a delivery back")
        return None

    # -- held longer -----------------------------------------------------------------------------------

    async def extend(self, deliveries: Sequence[Delivery]) -> list[Delivery | WaybillError]:
        """A full lease again, from now."""
        self._server.check_caller()
        outcomes: list[Delivery | WaybillError] = list(deliveries)
        held: dict[int, Receipt] = {}
        for number, delivery in enumerate(deliveries):
            try:
                held[number] = standing(delivery)
            except LeaseLostError as error:
                outcomes[number] = error
        now, today = time.monotonic(), datetime.now(UTC)
        failures = await self._tell(held, _PROGRESS)
        for number, receipt in held.items():
            if number in failures:
                outcomes[number] = failures[number]
                continue
            receipt.until = now + self._held
            outcomes[number] = replace(deliveries[number], leased_until=today + timedelta(seconds=self._held))
        return outcomes

    # -- given up --------------------------------------------------------------------------------------

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None) -> None:
        """Move it to the dead letters.

        Raises:
            LeaseLostError: the delivery is no longer its receiver's.
        """
        self._server.check_caller()
        receipt, message = standing(delivery), _as_stored(delivery)
        await self._topology.to_bury()
        subject = f"{self._names.letters_of(to or message.queue)}.{message.queue.replace('.', '=')}.{token(message.id)}"
        # By its place in the queue: should this end in the middle, the next receiver's letter is the same one.
        name = f"{self._names.stream(message.queue)}.{receipt.seq}.{receipt.stored}"
        await self._move(receipt, (subject, head(reason) + wrap(message), {"Nats-Msg-Id": name}))
        await self._clear([delivery])


def _failure(answer: asyncio.Future[bytes] | None, problem: Exception | None) -> Exception | None:
    """Why a consumer has not confirmed, if it has not."""
    if answer is None or not answer.done() or answer.cancelled():
        return problem
    failed = answer.exception()
    return failed if isinstance(failed, Exception) else None


def _as_stored(delivery: Delivery) -> Message:
    """The message, whatever its receiver has done to the one it was handed."""
    return unwrap(delivery.receipt.data, queue=delivery.message.queue, broker_id=delivery.message.id).message

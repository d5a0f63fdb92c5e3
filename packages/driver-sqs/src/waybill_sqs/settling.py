"""What becomes of a delivery: done, given back, held longer, or given up."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from waybill.driver import Delivery, Message
from waybill.errors import DeadReason, WaybillError
from waybill.timing import ZERO, Clock, format_moment

from .aws import Aws
from .batches import Batches, Entry
from .failures import EXPECTED, lost_lease, while_calling, while_settling
from .holding import CAP, Receipt, as_it_came, receipt_of
from .names import DEAD, Place
from .places import Places
from .records import to_attributes, to_body
from .sending import Sending, digest, outcomes_of

_logger: Final = logging.getLogger("waybill.sqs")
_ATTRIBUTES: Final = 8192
"""Bytes, more than those of a dead letter take."""


class Settling:
    """The settling side of one open driver."""

    def __init__(self, aws: Aws, places: Places, sending: Sending, clock: Clock) -> None:
        self._aws, self._places, self._sending, self._clock = aws, places, sending, clock
        timeout = aws.options.timeout.total_seconds()
        self.deletes = Batches(self._delete, timeout)
        self.visibilities = Batches(self._change, timeout)

    # -- verbs -----------------------------------------------------------------------------------------

    async def ack(self, deliveries: Sequence[Delivery]) -> list[WaybillError | None]:
        """Delete what is done."""
        outcomes = await self._settle("ack", self.deletes, [(each, {}) for each in deliveries])
        await self._free_keys([each for each, error in zip(deliveries, outcomes, strict=True) if error is None])
        return outcomes

    async def nack(self, items: Sequence[tuple[Delivery, timedelta]]) -> list[WaybillError | None]:
        """Another attempt, after a delay; one beyond what SQS lets a message be invisible is sent anew."""
        now = self._clock.monotonic()
        outcomes: list[WaybillError | None] = [None] * len(items)
        here: list[tuple[int, Delivery, int]] = []
        for number, (delivery, delay) in enumerate(items):
            seconds, receipt = math.ceil(delay.total_seconds()), delivery.receipt
            if isinstance(receipt, Receipt) and seconds > receipt.longest(now):
                outcomes[number] = await _error_of(self.move(delivery, delay, delivery.attempt))
            else:
                here.append((number, delivery, seconds))
        changes = [(delivery, {"VisibilityTimeout": seconds}) for _, delivery, seconds in here]
        settled = await self._settle("nack", self.visibilities, changes)
        for (number, _, _), outcome in zip(here, settled, strict=True):
            outcomes[number] = outcome
        return outcomes

    async def move(self, delivery: Delivery, delay: timedelta, attempts: int) -> None:
        """Send it anew, as one that had so many attempts, and delete this one."""
        due = delay if delay > ZERO else None
        parcel = replace(self._sending.parcel(as_it_came(delivery), due, attempts), why=_handle(delivery))

        async def copy() -> Any:
            return (await self._sending.send([parcel]))[0]

        await self._copy_and_delete("give back", delivery, copy)

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None) -> None:
        """Send it to the dead letters, and delete it."""

        async def copy() -> Any:
            return await self._copy_of_dead(as_it_came(delivery), reason, to, _handle(delivery))

        await self._copy_and_delete("bury", delivery, copy)
        await self._free_keys([delivery])

    async def keep_dead(self, message: Message, reason: DeadReason, to: str | None) -> None:
        """Send a message that came from no queue to the dead letters."""
        try:
            outcome = await self._copy_of_dead(message, reason, to, format_moment(reason.at))
        except EXPECTED as error:
            outcome = error
        if isinstance(outcome, WaybillError):
            raise outcome
        if isinstance(outcome, Exception):
            raise while_calling(outcome, self._aws.where, f"bury job {message.id}") from outcome

    async def _copy_of_dead(self, message: Message, reason: DeadReason, to: str | None, which: str) -> Any:
        url = await self._places.url(Place(to or message.queue, DEAD))
        body = to_body(message)
        fields: dict[str, Any] = {"MessageBody": body, "MessageAttributes": to_attributes(reason, message.queue)}
        if self._aws.options.fifo:
            fields["MessageGroupId"] = f"={digest(message.id)}"
            fields["MessageDeduplicationId"] = digest(message.id, "dead", which)
        return (await self._sending.batches(url, [Entry(fields, len(body.encode()) + _ATTRIBUTES)]))[0]

    async def extend(self, deliveries: Sequence[Delivery]) -> list[Delivery | WaybillError]:
        """A full lease again, from now, but none beyond the 12 hours that SQS allows."""
        now, clock = self._clock.monotonic(), self._clock.now()
        lease = self._aws.options.lease.total_seconds()
        items: list[tuple[Delivery, dict[str, Any]]] = []
        for each in deliveries:
            longest = each.receipt.longest(now) if isinstance(each.receipt, Receipt) else 0
            items.append((each, {"VisibilityTimeout": int(min(lease, longest))}))
        outcomes: list[Delivery | WaybillError] = []
        settled = await self._settle("extend", self.visibilities, items, ends=False)
        for (delivery, change), error in zip(items, settled, strict=True):
            if error is not None:
                outcomes.append(error)
                continue
            seconds = change["VisibilityTimeout"]
            delivery.receipt.until = now + seconds
            outcomes.append(replace(delivery, leased_until=clock + timedelta(seconds=seconds)))
        return outcomes

    async def hide(self, url: str, handle: str, rest: timedelta) -> None:
        """Let a record come again when it is due, or as late as SQS can."""
        seconds = min(math.ceil(rest.total_seconds()), int(CAP) - 1)
        await self.visibilities(url, [Entry({"ReceiptHandle": handle, "VisibilityTimeout": seconds})])

    async def give_back(self, url: str, handles: Sequence[str]) -> None:
        """Make records visible that nobody has been given; what fails comes back when its lease ends."""
        await self.visibilities(url, [Entry({"ReceiptHandle": each, "VisibilityTimeout": 0}) for each in handles])

    async def delete(self, url: str, handles: Sequence[str]) -> None:
        """Delete records whose copies are stored; what fails comes again, and is copied again."""
        await self.deletes(url, [Entry({"ReceiptHandle": each}) for each in handles])

    async def _free_keys(self, deliveries: Sequence[Delivery]) -> None:
        """What is over holds no key; one that cannot be freed now ends by itself, two weeks later."""
        keys = self._sending.keys
        if keys is None:
            return
        for each in deliveries:
            try:
                await keys.ended(each.message)
            except EXPECTED as error:
                _logger.warning("the unique key of job %s could not be freed: %s", each.message.id, error)

    # -- one for each ----------------------------------------------------------------------------------

    async def _settle(
        self, verb: str, batches: Batches, items: Sequence[tuple[Delivery, dict[str, Any]]], *, ends: bool = True
    ) -> list[WaybillError | None]:
        """Do something to deliveries, each in the batches of its queue; *ends*: they are nobody's afterwards."""
        now = self._clock.monotonic()
        outcomes: list[WaybillError | None] = [None] * len(items)
        under_way: list[tuple[int, Delivery, Entry]] = []
        for number, (delivery, change) in enumerate(items):
            try:
                receipt = receipt_of(delivery, now)
                if receipt.longest(now) < 1:
                    raise lost_lease(delivery.message, delivery.attempt)
            except WaybillError as error:
                outcomes[number] = error
                continue
            entry = Entry({"ReceiptHandle": receipt.handle, **change})
            if ends:
                _hold(receipt, entry)
            batches.put(receipt.url, [entry])
            under_way.append((number, delivery, entry))
        results = await batches.ended([entry for *_, entry in under_way])
        for (number, delivery, _), result in zip(under_way, results, strict=True):
            if isinstance(result, Exception):
                outcomes[number] = self._told(result, verb, delivery)
        return outcomes

    async def _copy_and_delete(self, verb: str, delivery: Delivery, copy: Callable[[], Awaitable[Any]]) -> None:
        """Store the copy, then delete the original. A repeat after a failure does what is left to do."""
        receipt = receipt_of(delivery, self._clock.monotonic())
        if receipt.copied != verb:
            receipt.busy = True
            try:
                outcome = await copy()
            except (*EXPECTED, WaybillError) as error:
                outcome = error
            finally:
                receipt.busy = False
            if isinstance(outcome, Exception):
                raise self._told(outcome, verb, delivery) from outcome
            receipt.copied = verb
        [failure] = await self._settle(verb, self.deletes, [(delivery, {})])
        if failure is not None:
            raise failure

    def _told(self, error: Exception, verb: str, delivery: Delivery) -> WaybillError:
        if isinstance(error, WaybillError):
            return error
        told = while_settling(error, self._aws.where, verb, delivery.message, delivery.attempt)
        told.__cause__ = error
        return told

    # -- requests --------------------------------------------------------------------------------------

    async def _delete(self, url: str, entries: Sequence[Entry]) -> list[Any]:
        wanted = [{"Id": str(number), **each.fields} for number, each in enumerate(entries)]
        answer = await self._aws.call("delete_message_batch", QueueUrl=url, Entries=wanted)
        return outcomes_of(answer, len(entries))

    async def _change(self, url: str, entries: Sequence[Entry]) -> list[Any]:
        wanted = [{"Id": str(number), **each.fields} for number, each in enumerate(entries)]
        answer = await self._aws.call("change_message_visibility_batch", QueueUrl=url, Entries=wanted)
        return outcomes_of(answer, len(entries))


def _hold(receipt: Receipt, entry: Entry) -> None:
    """Let nobody else settle it meanwhile, whether or not the caller waits for the end."""
    receipt.busy = True

    def end(outcome: Any) -> None:
        receipt.busy = False
        receipt.settled = outcome.exception() is None

    entry.outcome.add_done_callback(end)


def _handle(delivery: Delivery) -> str:
    return str(getattr(delivery.receipt, "handle", ""))


async def _error_of(call: Awaitable[None]) -> WaybillError | None:
    try:
        await call
    except WaybillError as error:
        return error
    return None

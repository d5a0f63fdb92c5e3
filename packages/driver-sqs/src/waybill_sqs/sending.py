"""From a message to an entry of a batch: which queue, how long SQS delays it, and what else it must carry."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from waybill.driver import Delivery, Due
from waybill.envelope import Message, decode
from waybill.errors import EnqueueUnknownError, WaybillError
from waybill.timing import ZERO, Clock

from .aws import Aws
from .batches import Batches, Entry
from .failures import EXPECTED, EntryError, is_missing, while_sending
from .names import LATER, Place
from .places import Places
from .records import to_body

_logger: Final = logging.getLogger("waybill.sqs")
LONGEST_DELAY: Final = timedelta(seconds=900)
_GROUP: Final = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;?@\[\\\]^_`{|}][A-Za-z0-9!-/:-@\[-`{-~]{0,127}")
"""What SQS takes as a group; those that begin otherwise are ours."""


class Scheduler(Protocol):
    """Keeps what is due in more than 15 minutes, and sends it to its queue about when it is."""

    async def schedule(self, message: Message, due: datetime) -> str | None:
        """Keep it and return its id; None: it cannot, and the message is relayed."""
        ...

    async def cancel(self, queue: str, message_id: str) -> bool:
        """Take it back; True: it will never start."""
        ...


class Keys(Protocol):
    """Holds unique keys."""

    async def take(self, message: Message) -> bool: ...

    async def keep(self, message: Message, delay: timedelta) -> None: ...

    async def free(self, message: Message) -> None: ...

    async def started(self, deliveries: Sequence[Delivery]) -> None: ...

    async def ended(self, message: Message) -> None: ...

    async def purged(self, queue: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way into a queue."""

    message: Message
    due: datetime | None = None
    """When it may start, where that is more than SQS's own delay."""
    delay: timedelta = ZERO
    """How long SQS is to delay it, at most 15 minutes."""
    attempts: int = 0
    """Those it had before."""
    why: str = ""
    """On FIFO: what makes this copy another one than the original, if it is."""


class Sending:
    """The sending side of one open driver."""

    def __init__(self, aws: Aws, places: Places, clock: Clock) -> None:
        self._aws, self._places, self._clock = aws, places, clock
        self._options = aws.options
        self.scheduler: Scheduler | None = None
        self.keys: Keys | None = None
        self.batches = Batches(self._request, aws.options.timeout.total_seconds())

    # -- verbs -----------------------------------------------------------------------------------------

    async def enqueue(self, items: Sequence[tuple[Message, Due]]) -> list[str | WaybillError]:
        """Store messages; one outcome for each."""
        return await self.deliver([self.parcel(message, due) for message, due in items])

    async def deliver(self, parcels: Sequence[Parcel]) -> list[str | WaybillError]:
        """Store parcels whose keys are free, what is due much later with the scheduler; one outcome for each."""
        keyed = self.keys is not None and any(each.message.unique is not None for each in parcels)
        outcomes = await (self._with_keys(parcels) if keyed else self._store(parcels))
        return [
            self._told(outcome, parcel.message) if isinstance(outcome, Exception) else outcome
            for outcome, parcel in zip(outcomes, parcels, strict=True)
        ]

    async def _with_keys(self, parcels: Sequence[Parcel]) -> list[Any]:
        """Take the keys, store what has got its own, and let go those of what was not stored."""
        taken: list[Any] = [False] * len(parcels)
        lines: dict[tuple[str, str], list[int]] = {}
        for number, each in enumerate(parcels):
            if each.message.unique is not None:
                lines.setdefault((each.message.queue, each.message.unique.key), []).append(number)

        async def take(numbers: Sequence[int]) -> None:
            for number in numbers:  # of those that want the same key the first one gets it
                taken[number] = await self._take(parcels[number])

        await asyncio.gather(*map(take, lines.values()))
        got = [number for number, each in enumerate(taken) if not isinstance(each, Exception)]
        outcomes = list(taken)
        for number, outcome in zip(got, await self._store([parcels[each] for each in got]), strict=True):
            outcomes[number] = outcome
        await asyncio.gather(*(self._decide(parcels[each], outcomes[each]) for each in got if taken[each] is True))
        return outcomes

    async def _take(self, parcel: Parcel) -> bool | Exception:
        assert self.keys is not None
        try:
            return await self.keys.take(parcel.message)
        except Exception as error:
            return error

    async def _decide(self, parcel: Parcel, outcome: Any) -> None:
        assert self.keys is not None
        try:
            if isinstance(outcome, Exception) and not isinstance(
                self._told(outcome, parcel.message), EnqueueUnknownError
            ):
                await self.keys.free(parcel.message)
            else:
                delay = parcel.delay if parcel.due is None else parcel.due - self._clock.now()
                await self.keys.keep(parcel.message, delay)
        except EXPECTED as error:  # the key is free in a minute, and the message is stored or not as it was said
            _logger.warning("the unique key of job %s could not be kept: %s", parcel.message.id, error)

    async def _store(self, parcels: Sequence[Parcel]) -> list[Any]:
        if self.scheduler is None:
            return await self.send(parcels)
        far = [each for each in parcels if self._is_far(each)]
        keeping = [asyncio.ensure_future(self._schedule(each)) for each in far]
        near = [each for each in parcels if each not in far] if far else parcels
        sent = iter(await self.send(near))
        if keeping:
            await asyncio.wait(keeping)
        kept = iter(keeping)
        return [_outcome(next(kept)) if each in far else next(sent) for each in parcels]

    def _told(self, error: Exception, message: Message) -> WaybillError:
        if isinstance(error, WaybillError):
            return error
        if isinstance(error, EXPECTED_OUTCOMES):
            told = while_sending(error, self._aws.where, message)
            told.__cause__ = error
            return told
        raise error

    def parcel(self, message: Message, due: Due, attempts: int = 0) -> Parcel:
        """A message with the time at which it is due."""
        if due is None:
            return Parcel(message, attempts=attempts)
        if isinstance(due, timedelta):
            if due <= LONGEST_DELAY:  # by the clock of SQS alone
                return Parcel(message, delay=max(due, ZERO), attempts=attempts)
            due = self._clock.now() + due
        rest = due - self._clock.now()
        if rest <= ZERO:
            return Parcel(message, attempts=attempts)
        return Parcel(message, due.astimezone(UTC), min(rest, LONGEST_DELAY), attempts)

    async def send(self, parcels: Sequence[Parcel]) -> list[Any]:
        """Put parcels into their queues; for each the broker's id, or the error as it came."""
        if len(parcels) == 1:
            return await self._send_to(self._place(parcels[0]), parcels)
        by_place: dict[Place, list[int]] = {}
        for number, parcel in enumerate(parcels):
            by_place.setdefault(self._place(parcel), []).append(number)
        sent = await asyncio.gather(
            *(self._send_to(place, [parcels[number] for number in numbers]) for place, numbers in by_place.items())
        )
        outcomes: list[Any] = [None] * len(parcels)
        for numbers, some in zip(by_place.values(), sent, strict=True):
            for number, outcome in zip(numbers, some, strict=True):
                outcomes[number] = outcome
        return outcomes

    async def _send_to(self, place: Place, parcels: Sequence[Parcel]) -> list[Any]:
        try:
            url = self._places.ready(place) or await self._places.url(place)
        except Exception as error:
            return [error] * len(parcels)
        return await self.batches(url, [self._entry(each, place) for each in parcels])

    # -- what a parcel becomes -------------------------------------------------------------------------

    def _place(self, parcel: Parcel) -> Place:
        queue = parcel.message.queue
        if self._options.fifo:
            return Place(queue, LATER if parcel.delay else "")
        level = min(parcel.message.priority, self._options.priorities - 1)
        return Place(queue, f"p{level}" if level else "")

    def _entry(self, parcel: Parcel, place: Place) -> Entry:
        message = parcel.message
        body = to_body(message, parcel.due, parcel.attempts)
        fields: dict[str, Any] = {"MessageBody": body}
        size, line = len(body.encode()), None
        if parcel.delay:
            fields["DelaySeconds"] = math.ceil(parcel.delay.total_seconds())
        if self._options.fifo and place.part != LATER:
            fields["MessageGroupId"] = group_id(message)
            line = message.group or ""  # also what has no group comes in the order in which it was sent
            fields["MessageDeduplicationId"] = deduplication_id(message, parcel.why)
        elif not self._options.fifo and (tenant := self._tenant(message)) is not None:
            fields["MessageGroupId"] = tenant
        return Entry(fields, size, line)

    def _tenant(self, message: Message) -> str | None:
        """Whom a fair queue serves with this message: a field of the job's metadata."""
        if self._options.fair is None:
            return None
        try:
            told = (decode(message.body).metadata or {}).get(self._options.fair)
        except ValueError:
            return None
        return None if told is None else group_id(replace(message, group=str(told)))

    # -- requests --------------------------------------------------------------------------------------

    async def _request(self, url: str, entries: Sequence[Entry]) -> list[Any]:
        wanted = [{"Id": str(number), **each.fields} for number, each in enumerate(entries)]
        try:
            answer = await self._aws.call("send_message_batch", QueueUrl=url, Entries=wanted)
        except EXPECTED as error:
            if is_missing(error):
                self._places.forget(url)
            raise
        return outcomes_of(answer, len(entries), "MessageId")

    def _is_far(self, parcel: Parcel) -> bool:
        return parcel.due is not None and parcel.due - self._clock.now() > LONGEST_DELAY

    async def _schedule(self, parcel: Parcel) -> Any:
        assert self.scheduler is not None
        assert parcel.due is not None
        kept = await self.scheduler.schedule(parcel.message, parcel.due)
        return (await self.send([parcel]))[0] if kept is None else kept


def _outcome(future: asyncio.Future[Any]) -> Any:
    return future.exception() or future.result()


def outcomes_of(answer: dict[str, Any], count: int, value: str = "Id") -> list[Any]:
    """What a batch request's answer says of each of its entries."""
    outcomes: list[Any] = [EntryError({"Code": "Unanswered", "SenderFault": False})] * count
    for each in answer.get("Successful", ()):
        outcomes[int(each["Id"])] = each[value]
    for each in answer.get("Failed", ()):
        outcomes[int(each["Id"])] = EntryError(each)
    return outcomes


def group_id(message: Message) -> str:
    """The group of a message as SQS takes it; one without a group has its own, and so waits for no other."""
    if message.group is None:
        return f"={digest(message.id)}"
    return message.group if _GROUP.fullmatch(message.group) else f"~{digest(message.group)}"


def deduplication_id(message: Message, why: str) -> str:
    """The same for each repeat of an id, for five minutes; another one for a copy that is no repeat."""
    return digest(message.id, why) if why else digest(message.id)


def digest(*parts: str) -> str:
    """A name for any texts, as long as SQS takes it."""
    told = "\0".join(f"{len(each)}:{each}" for each in parts)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


EXPECTED_OUTCOMES: Final = (*EXPECTED, EntryError)

"""What becomes of a record that was received: a delivery, or, if it came before its time, a copy that comes later.

A message that is due in more than SQS can delay travels in hops of 15 minutes, each a copy of it; one that a scheduler
has sent a little early does the last hop by itself; and what a FIFO queue is to get later waits in a companion queue.
The copy is stored before the original is deleted, so that a crash in between can double a message and not lose it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from waybill.driver import Delivery
from waybill.envelope import format_moment
from waybill.errors import BrokerUnavailableError, WaybillError
from waybill.timing import ZERO, Clock

from .aws import Aws
from .failures import while_calling
from .holding import Receipt
from .names import LATER, Place
from .records import Record
from .sending import EXPECTED_OUTCOMES, LONGEST_DELAY, Parcel, Sending
from .settling import Settling

_logger: Final = logging.getLogger("waybill.sqs")

Arrived = Delivery | WaybillError | None
"""None: it came too early, and a copy of it is on its way."""


class Arrivals:
    """The door through which records come in, from a queue or from a Lambda event."""

    def __init__(self, aws: Aws, sending: Sending, settling: Settling, clock: Clock) -> None:
        self._aws, self._sending, self._settling, self._clock = aws, sending, settling, clock

    async def admit(
        self, place: Place, url: str, records: Sequence[Record], held: timedelta, taken: float
    ) -> list[Arrived]:
        """Deliveries of what may start now; the rest is sent on.

        Args:
            place: the queue they came from.
            url: of that queue.
            records: what was received.
            held: how long they are invisible to others.
            taken: when, by `time.monotonic`, the answer came.
        """
        outcomes: list[Arrived] = []
        early: list[tuple[int, Record, Parcel]] = []
        since = time.monotonic() - taken
        for number, record in enumerate(records):
            message, due, attempts = record.read(place.queue)
            rest = ZERO if due is None else due - self._clock.now()
            if rest > ZERO and due is not None and self._aws.options.fifo and place.part != LATER:
                # Only another program sends it like this. A copy of it would be taken for a repeat of its id.
                await self._settling.hide(url, record.handle, rest)
                outcomes.append(BrokerUnavailableError(f"job {message.id} is not due before {format_moment(due)}"))
                continue
            if rest > ZERO:
                early.append((number, record, Parcel(message, due, min(rest, LONGEST_DELAY), attempts)))
            elif place.part == LATER:
                early.append((number, record, Parcel(message, attempts=attempts, why=_why(attempts))))
            else:
                now = self._clock.monotonic() - since
                until, headers = now + held.total_seconds(), dict(message.headers)
                receipt = Receipt(url, record.handle, now, until, record.place, headers)
                leased_until = self._clock.now() - timedelta(seconds=since) + held
                outcomes.append(Delivery(message, attempts + record.received, receipt, leased_until))
                continue
            outcomes.append(None)
        if self._sending.keys is not None:
            await self._sending.keys.started([each for each in outcomes if isinstance(each, Delivery)])
        if early:
            for (number, _, _), error in zip(early, await self._send_on(url, early), strict=True):
                outcomes[number] = error
        return outcomes

    async def give_back(self, url: str, handles: Sequence[str]) -> None:
        """Make visible again what nobody was given."""
        await self._settling.give_back(url, handles)

    async def _send_on(self, url: str, early: Sequence[tuple[int, Record, Parcel]]) -> list[WaybillError | None]:
        sent = await self._sending.send([parcel for *_, parcel in early])
        failed: list[WaybillError | None] = []
        for outcome, (_, _, parcel) in zip(sent, early, strict=True):
            if not isinstance(outcome, Exception):
                failed.append(None)
                continue
            if not isinstance(outcome, (*EXPECTED_OUTCOMES, WaybillError)):
                raise outcome
            asked = f"delay job {parcel.message.id}"
            told = outcome if isinstance(outcome, WaybillError) else while_calling(outcome, self._aws.where, asked)
            told.__cause__ = outcome
            failed.append(told)
            # Its lease brings it back, and then it is tried again.
            _logger.warning("job %s came before its time and could not be sent on yet: %s", parcel.message.id, told)
        done = [record.handle for (_, record, _), error in zip(early, failed, strict=True) if error is None]
        await self._settling.delete(url, done)
        return failed


def _why(attempts: int) -> str:
    """On FIFO what was delayed is the same as what is sent at once with its id; a further attempt at it is not."""
    return f"after {attempts}" if attempts else ""

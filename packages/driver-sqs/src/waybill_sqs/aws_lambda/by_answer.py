"""Records that only the answer to Lambda settles, as their queue's driver is not at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from waybill.driver import Delivery
from waybill.envelope import decode, unwrap
from waybill.errors import DeadReason, InvalidQueueNameError
from waybill.queues import checked_queue_name
from waybill.sending.connection import Connection
from waybill.sending.service import JobService
from waybill.timing import Clock

from ..names import FIFO, Names
from ..options import SqsOptions
from .event import Handed
from .settlement import keep_dead


class ByAnswer:
    """With a driver of another broker: it keeps dead letters and early arrivals, and the answer tells SQS the rest."""

    keeps_undecodable = False

    def __init__(self, service: JobService, connection: Connection) -> None:
        self._service, self._connection = service, connection

    @property
    def clock(self) -> Clock:
        return self._connection.clock

    async def accept(self, record: Handed) -> Delivery | bool:
        read = unwrap(record.body, broker_id=record.identifier)
        message = replace(read.message, queue=self._service.rules.address(self._queue_of(record)))
        if read.due is not None and read.due > self.clock.now():
            await self._connection.send(message, read.due)
            return True
        return Delivery(message, read.attempts + record.received, None)

    def _queue_of(self, record: Handed) -> str:
        """The name that its sender used, else what its name on SQS stands for by default, else that name."""
        with contextlib.suppress(ValueError, InvalidQueueNameError):
            return checked_queue_name(decode(record.body).queue)
        place = Names(SqsOptions().prefix, record.queue.endswith(FIFO)).read(record.queue)
        if place is not None and place.queue in self._service.known_queues():
            return place.queue
        with contextlib.suppress(InvalidQueueNameError):
            return checked_queue_name(record.queue.removesuffix(FIFO))
        return self._service.registry.queue

    async def ack(self, delivery: Delivery, /) -> None:
        pass

    async def nack(self, delivery: Delivery, delay: timedelta, /) -> None:
        pass

    async def release(self, delivery: Delivery, /) -> None:
        pass

    async def give_back(self, records: Sequence[Handed]) -> None:
        pass

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None, /) -> None:
        await keep_dead(self._connection, delivery.message, reason, to)

"""Records that the driver of their queue settles by their receipts: with delays, dead letters, and at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from waybill.driver import Delivery
from waybill.errors import ConfigurationError, DeadReason, WaybillError
from waybill.sending.connection import Connection
from waybill.timing import Clock

from ..driver import SqsDriver
from ..records import Record
from .by_answer import ByAnswer
from .event import Handed

_logger: Final = logging.getLogger("waybill.lambda")


class ByReceipt:
    """With the driver of the queue; what comes from a queue that the driver does not know is settled by the answer.

    Args:
        connection: of the driver.
        driver: it.
        held: for how long the records are this function's.
        strangers: settles what the driver does not know.
    """

    keeps_undecodable = True

    def __init__(self, connection: Connection, driver: SqsDriver, held: timedelta, strangers: ByAnswer) -> None:
        self._connection, self._driver, self._held, self._strangers = connection, driver, held, strangers
        self._unknown: set[str] = set()

    @property
    def clock(self) -> Clock:
        return self._connection.clock

    async def accept(self, record: Handed) -> Delivery | bool:
        if record.arn is None or not record.raw["receiptHandle"]:
            return await self._strangers.accept(record)
        try:
            [arrived] = await self._driver.admit(record.arn, [Record.of(record.raw)], held=self._held)
        except ConfigurationError as error:
            if record.arn not in self._unknown:
                self._unknown.add(record.arn)
                _logger.warning("failed jobs will wait for their visibility timeout, whatever their backoff: %s", error)
            return await self._strangers.accept(record)
        if isinstance(arrived, WaybillError):
            raise arrived
        return True if arrived is None else arrived

    # Lambda itself deletes what the answer does not name; the driver does so only to set a unique key free.

    async def ack(self, delivery: Delivery, /) -> None:
        if delivery.receipt is not None and delivery.message.unique is not None:
            await self._connection.ack(delivery)

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None, /) -> None:
        if delivery.receipt is not None and delivery.message.unique is not None:
            await self._connection.bury(delivery, reason, to)
        else:
            await self._strangers.bury(delivery, reason, to)

    async def nack(self, delivery: Delivery, delay: timedelta, /) -> None:
        if delivery.receipt is not None:
            await self._connection.nack(delivery, delay)

    async def release(self, delivery: Delivery, /) -> None:
        if delivery.receipt is not None:
            await self._connection.release(delivery)

    async def give_back(self, records: Sequence[Handed]) -> None:
        await asyncio.gather(*map(self._give_back, records))

    async def _give_back(self, record: Handed) -> None:
        try:
            accepted = await self.accept(record)
            if isinstance(accepted, Delivery):
                await self.release(accepted)
        except WaybillError as error:
            _logger.warning("record %r stays hidden until its visibility timeout: %s", record.identifier, error)

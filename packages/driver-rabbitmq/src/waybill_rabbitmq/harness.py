"""What the conformance suite needs to hold this driver to its claims: a RabbitMQ server, started for it."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pika

from waybill_conformance import LEASE
from waybill_conformance.brokers import BrokerHarness

from .driver import RabbitMQDriver
from .names import Names
from .options import RabbitMQOptions


class RabbitMQHarness(BrokerHarness):
    """Every driver it opens is on one server, with queues of this run's own."""

    suite = "0.1"
    broker = "rabbitmq"

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"conformance-{uuid.uuid4().hex[:8]}"

    async def open(self, *, lease: timedelta = LEASE) -> RabbitMQDriver:
        address = await self.address()
        driver = RabbitMQDriver(address, prefix=self._prefix)
        if "prefix=" not in (self.url or ""):
            self.url = f"{address}{'&' if '?' in address else '?'}prefix={self._prefix}"  # for other processes
        await driver.open()
        return driver

    async def raw(self, queue: str, body: bytes) -> None:
        await asyncio.to_thread(self._publish, await self.address(), queue, body)

    def _publish(self, address: str, queue: str, body: bytes) -> None:
        names = Names(RabbitMQOptions(prefix=self._prefix))
        connection = pika.BlockingConnection(pika.URLParameters(address.partition("?")[0]))
        try:
            channel = connection.channel()
            channel.queue_declare(names.queue(queue), durable=True, arguments=names.arguments(queue))
            channel.confirm_delivery()
            channel.basic_publish("", names.queue(queue), body)
        finally:
            connection.close()

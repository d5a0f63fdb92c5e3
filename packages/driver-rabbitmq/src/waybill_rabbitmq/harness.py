"""What the conformance suite needs to hold this driver to its claims: a RabbitMQ server, started for it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

import pika

from waybill_conformance import LEASE
from waybill_conformance.brokers import BrokerHarness
from waybill_conformance.brokers.rabbitmq import REST

from .driver import RabbitMQDriver
from .names import Names
from .options import RabbitMQOptions


class RabbitMQHarness(BrokerHarness):
    """Every driver it opens is on one server, with queues of this run's own."""

    suite = "0.1"
    broker = "rabbitmq"
    rest = REST
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"conformance-{uuid.uuid4().hex[:8]}"

    async def open(self, *, lease: timedelta = LEASE) -> RabbitMQDriver:
        address = await self.address()
        if "prefix=" not in address:
            options = urlencode({"prefix": self._prefix, **self.options})
            address = self.url = f"{address}{'&' if '?' in address else '?'}{options}"  # for other processes
        driver = RabbitMQDriver(address)
        await driver.open()
        return driver

    async def raw(self, queue: str, body: bytes) -> None:
        await asyncio.to_thread(self._publish, await self.address(), queue, body)

    def _publish(self, address: str, queue: str, body: bytes) -> None:
        names = Names(RabbitMQOptions(prefix=self._prefix, **self.options))
        connection = pika.BlockingConnection(pika.URLParameters(address.partition("?")[0]))
        try:
            channel = connection.channel()
            channel.queue_declare(names.queue(queue), durable=True, arguments=names.arguments(queue))
            channel.confirm_delivery()
            channel.basic_publish("", names.queue(queue), body)
        finally:
            connection.close()


class ClassicHarness(RabbitMQHarness):
    """The same on classic queues with priorities: `--harness waybill_rabbitmq.harness:ClassicHarness`."""

    options: ClassVar = {"queue_type": "classic", "max_priority": 9}

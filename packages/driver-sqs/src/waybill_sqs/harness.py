"""What the conformance suite needs to hold this driver to its claims: an emulator of AWS, started for it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import uuid
from datetime import timedelta
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

from waybill_conformance.brokers import BrokerHarness

from .driver import SqsDriver

LEASE: Final = timedelta(seconds=4)
"""Reading dead letters to their end takes a second each time, and some cases do that while they hold a job."""


class SqsHarness(BrokerHarness):
    """Standard queues of this run's own, on one emulator."""

    suite = "0.1"
    broker = "ministack"
    options: ClassVar = "poll=1s"
    """Short long polls, for which no driver that closes has to wait."""

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"conformance-{uuid.uuid4().hex[:8]}"
        self._used = False

    async def open(self, *, lease: timedelta = LEASE) -> SqsDriver:
        address = await self.address()
        if "prefix=" not in address:
            address += f"{'&' if '?' in address else '?'}prefix={self._prefix}&{self.options}"
            self.url = address  # for other processes
            self._used = True
        driver = SqsDriver(f"{address}&lease={lease.total_seconds():g}s")
        await driver.open()
        return driver

    async def raw(self, queue: str, body: bytes) -> None:
        """As a program does that knows the queue by its name. SQS takes text alone: what is none is wrapped."""
        driver = await self.open()
        try:
            url = await driver.queue_url(queue)
        finally:
            await driver.close()
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = json.dumps({"raw": base64.b64encode(body).decode()})
        group = {"MessageGroupId": "raw", "MessageDeduplicationId": uuid.uuid4().hex} if url.endswith(".fifo") else {}
        await self.tell("sqs", "send_message", QueueUrl=url, MessageBody=text, **group)

    async def close(self) -> None:
        """On AWS itself too nothing is left behind."""
        if self._used:
            with contextlib.suppress(Exception):
                found = await self.tell("sqs", "list_queues", QueueNamePrefix=f"{self._prefix}-", MaxResults=1000)
                for url in found.get("QueueUrls", ()):
                    await self.tell("sqs", "delete_queue", QueueUrl=url)
        await super().close()

    async def tell(self, service: str, verb: str, **arguments: Any) -> Any:
        """Call AWS, or the emulator, as its administrator."""
        import boto3

        parts = urlsplit(await self.address())
        where = {"region_name": parts.hostname, "endpoint_url": parse_qs(parts.query).get("endpoint_url", [None])[0]}
        who = {"aws_access_key_id": parts.username, "aws_secret_access_key": parts.password}

        def call() -> Any:
            with contextlib.closing(boto3.client(service, **where, **who)) as client:
                return getattr(client, verb)(**arguments)

        return await asyncio.to_thread(call)


class FifoHarness(SqsHarness):
    """The same on FIFO queues: `--harness waybill_sqs.harness:FifoHarness`."""

    options: ClassVar = f"{SqsHarness.options}&fifo=true"


class TableHarness(SqsHarness):
    """Standard queues, three classes of priority and a DynamoDB table: `--harness waybill_sqs.harness:TableHarness`."""

    options: ClassVar = f"{SqsHarness.options}&priorities=3&table=conformance"
    _is_made = False

    async def open(self, *, lease: timedelta = LEASE) -> SqsDriver:
        if not self._is_made:
            await self._make()
        return await super().open(lease=lease)

    async def _make(self) -> None:
        from botocore.exceptions import ClientError

        keys = {"pk": "HASH", "sk": "RANGE"}
        with contextlib.suppress(ClientError):  # another process has made it
            await self.tell(
                "dynamodb",
                "create_table",
                TableName="conformance",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in keys],
                KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
            )
        self._is_made = True

"""What one writes by hand: one SendMessage for each job, and a loop that receives ten and deletes one by one, by boto3.

Its calls block, so they are made in threads; no envelope, no retry delays, no delays beyond 15 minutes.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.config import Config

import benchmarks.contender as base
from benchmarks.contender import tally


class Contender(base.Contender):
    module = "boto3"
    blocking = True
    drained = 2_000

    async def open(self) -> None:
        await asyncio.to_thread(self._connect)

    async def close(self) -> None:
        self._sqs.close()

    def _connect(self) -> None:
        parts = urlsplit(self.place.url)
        self._sqs = boto3.client(
            "sqs",
            region_name=parts.hostname,
            endpoint_url=parse_qs(parts.query)["endpoint_url"][0],
            aws_access_key_id=parts.username,
            aws_secret_access_key=parts.password,
            config=Config(max_pool_connections=64),
        )
        self._url = self._sqs.create_queue(QueueName=self.place.name)["QueueUrl"]

    def send(self, payload: dict[str, Any]) -> None:
        self._sqs.send_message(QueueUrl=self._url, MessageBody=json.dumps(payload))

    def send_stamp(self, due: float, delay: float) -> None:
        self._sqs.send_message(QueueUrl=self._url, MessageBody=json.dumps({"due": due}), DelaySeconds=round(delay))

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        stop = threading.Event()
        working = asyncio.create_task(asyncio.to_thread(self._work, stop))
        yield
        stop.set()
        await working

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            got = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for each in got.get("Messages", ()):
                payload = json.loads(each["Body"])
                if "due" in payload:
                    tally.began(payload["due"])
                else:
                    tally.finished_in_thread()
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=each["ReceiptHandle"])

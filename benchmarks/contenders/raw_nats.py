"""What one writes by hand: a work queue, pulled and acked by the hundred with nats-py, the last ack confirmed.

No envelope, no delays, no priorities, no attempts; a message for a reader that is cancelled waits for its lease's end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.js.api import ConsumerConfig, RetentionPolicy

import benchmarks.contender as base
from benchmarks.contender import tally

BATCH = 100
WINDOW = 256


class Contender(base.Contender):
    module = "nats"
    drained = 40_000

    async def open(self) -> None:
        self._client = await nats.connect(self.place.url, pending_size=64 * 2**20)
        self._stream = self._client.jetstream()
        await self._stream.add_stream(
            name=self.place.name, subjects=[f"{self.place.name}.>"], retention=RetentionPolicy.WORK_QUEUE
        )
        self._subject = f"{self.place.name}.jobs"
        self._sent = 0

    async def close(self) -> None:
        await self._client.close()

    async def send(self, payload: dict[str, Any]) -> None:
        self._sent += 1
        headers = {"Nats-Msg-Id": f"{id(self)}-{self._sent}"}
        await self._stream.publish(self._subject, json.dumps(payload).encode(), headers=headers)

    async def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> None:
        if plain:
            raise NotImplementedError
        for first in range(0, count, WINDOW):
            waiting = []
            for _ in range(min(WINDOW, count - first)):
                self._sent += 1
                headers = {"Nats-Msg-Id": f"{id(self)}-{self._sent}"}
                body = json.dumps(payload).encode()
                waiting.append(await self._stream.publish_async(self._subject, body, headers=headers))
            await asyncio.gather(*waiting)

    async def send_stamp(self, due: float, delay: float) -> None:
        if delay:
            raise NotImplementedError
        await self.send({"due": due})

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._work())
        yield
        while not task.done():  # once is not enough: asyncio.wait_for in nats-py may swallow it (Python 3.11)
            task.cancel()
            await asyncio.wait([task], timeout=0.1)

    async def _work(self) -> None:
        name, client = self.place.name, self._client
        await self._stream.add_consumer(name, ConsumerConfig(durable_name="workers", max_ack_pending=-1))
        inbox = client.new_inbox()
        answers = await client.subscribe(inbox)
        request = json.dumps({"batch": BATCH, "no_wait": True, "expires": 5_000_000_000}).encode()
        while True:
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{name}.workers", request, reply=inbox)
            taken = []
            while len(taken) < BATCH:
                try:
                    message = await answers.next_msg(timeout=6)
                except nats.errors.TimeoutError:  # NATS 2.9 does not always tell the end of a pull
                    break
                if not message.reply:
                    break
                taken.append(message)
                payload = json.loads(message.data)
                if "due" in payload:
                    tally.began(payload["due"])
                else:
                    tally.finished()
            for message in taken[:-1]:
                await client.publish(message.reply, b"+ACK")
            if taken:
                # Half a second, nats-py's own, is too little for a disk that is busy.
                await client.request(taken[-1].reply, b"+ACK", timeout=30)

"""Another process: receives and acks until it is killed, and notes in a file what it has acked."""

import asyncio
import os
import sys
from datetime import timedelta

from waybill.errors import BrokerUnavailableError, LeaseLostError
from waybill_redis import RedisDriver


async def work(url, prefix, notes):
    driver = RedisDriver(url, prefix=prefix, lease="500ms")
    while True:
        try:
            await driver.open()
            break
        except BrokerUnavailableError:
            await asyncio.sleep(0.02)
    file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        try:
            taken = await driver.receive("q", limit=20, wait=timedelta(seconds=5))
            await asyncio.sleep(0.03)  # some are always held
            for delivery, outcome in zip(taken, await driver.ack_batch(taken), strict=True):
                lost = isinstance(outcome, LeaseLostError)
                os.write(file, f"{delivery.message.id} {delivery.attempt} {'lost' if lost else 'acked'}\n".encode())
        except BrokerUnavailableError:
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))

"""The least that is a driver: six verbs on lists in memory. Of everything else the suite must say "not offered"."""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta

from waybill.driver import Capabilities, Delivery, Message
from waybill.errors import DriverClosedError, LeaseLostError
from waybill.testing import VirtualClock
from waybill.timing import ZERO
from waybill_conformance import LEASE, Harness


@dataclass
class Slot:
    """A message, and from when on anybody may take it."""

    message: Message
    at: datetime
    attempt: int = 0
    receipt: int = 0


class SixDriver:
    def __init__(self, slots, numbers, clock, lease):
        self._slots, self._numbers, self._clock, self._lease, self._closed = slots, numbers, clock, lease, True

    @property
    def capabilities(self):
        return Capabilities(
            max_message_bytes=None,
            lease=self._lease,
            durability="process",
            fencing="strict",
            idempotent_enqueue=None,
            exact_attempts=False,
            ordering="none",
        )

    async def open(self):
        self._closed = False

    async def close(self):
        self._closed = True

    async def enqueue(self, message):
        return await self.enqueue_in(message, ZERO)

    async def enqueue_in(self, message, delay):
        return await self.enqueue_at(message, self._clock.now() + delay)

    async def enqueue_at(self, message, when):
        self._check()
        copy = Message(message.id, message.queue, message.body, headers=dict(message.headers))
        self._slots.append(Slot(copy, when))
        return message.id

    async def receive(self, queue, *, limit, wait):
        end = self._clock.now() + wait
        while True:
            self._check()
            now = self._clock.now()
            due = [each for each in self._slots if each.message.queue == queue and each.at <= now][:limit]
            if due or now >= end:
                return [self._lease_out(each, now + self._lease) for each in due]
            await asyncio.sleep(0.005)

    async def ack(self, delivery):
        self._slots.remove(self._held(delivery))

    async def nack(self, delivery, *, delay=ZERO):
        slot = self._held(delivery)
        slot.at, slot.receipt = self._clock.now() + delay, 0

    def _lease_out(self, slot, until):
        slot.at, slot.attempt, slot.receipt = until, slot.attempt + 1, next(self._numbers)
        headers = dict(slot.message.headers)
        message = Message(slot.message.id, slot.message.queue, slot.message.body, headers=headers)
        return Delivery(message, slot.attempt, slot.receipt, until)

    def _held(self, delivery):
        self._check()
        for each in self._slots:
            if each.receipt == delivery.receipt:
                return each
        raise LeaseLostError(f"attempt {delivery.attempt} of job {delivery.message.id} is over")

    def _check(self):
        if self._closed:
            raise DriverClosedError("the driver is closed; open() it")


class SixHarness(Harness):
    def __init__(self):
        self.clock = VirtualClock()
        self._slots, self._numbers = [], itertools.count(1)

    async def open(self, *, lease: timedelta = LEASE):
        driver = SixDriver(self._slots, self._numbers, self.clock, lease)
        await driver.open()
        return driver

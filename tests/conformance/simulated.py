"""A broker beyond a network, simulated honestly: it can be cut off, stand still, and be killed."""

import asyncio
import contextlib
import functools
import inspect
from dataclasses import replace
from datetime import timedelta

from waybill.errors import BrokerUnavailableError, EnqueueUnknownError, LeaseLostError
from waybill.testing import MemoryDriver
from waybill_conformance.witness import verbs_of

from .kit import ClassHarness

TIMEOUT = 0.3


class Link:
    """The network between the drivers of one harness and their broker."""

    def __init__(self):
        self.calls = set()
        self.paused = False
        self.cuts = 0
        self.connections = []
        self.delay = 0.0
        self.fuse = None

    def cut(self):
        self.cuts += 1
        for each in list(self.calls):
            if not each.done():
                each.set_exception(ConnectionResetError())
        for each in self.connections:
            each.dropped()

    async def pass_on(self, direction):
        """One message on its way, that way."""
        await asyncio.sleep(self.delay)
        while self.paused:
            await asyncio.sleep(0.001)
        if self.fuse is not None and self.fuse[1] == direction:
            number = self.fuse[0] - 1
            self.fuse = (number, direction) if number else None
            if not number:
                self.cut()
                raise ConnectionResetError


class LinkedDriver(MemoryDriver):
    """The memory driver behind a link: what a call has reached when the link fails decides what it raises."""

    link = None
    durable = True

    @property
    def capabilities(self):
        return replace(super().capabilities, durability="host-lazy")

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if name in VERBS and inspect.iscoroutinefunction(value):
            call = super().__getattribute__("call")

            @functools.wraps(value)
            async def linked(*args, **kwargs):
                return await call(name, value, *args, **kwargs)

            return linked
        return value

    async def call(self, name, verb, *args, **kwargs):
        failure = asyncio.get_running_loop().create_future()
        self.link.calls.add(failure)
        work = asyncio.ensure_future(self.travel(verb, *args, **kwargs))
        returned = False
        try:
            await asyncio.wait([work, failure], return_when=asyncio.FIRST_COMPLETED, timeout=self.patience(kwargs))
            if work.done() and not isinstance(work.exception(), ConnectionResetError):
                result = work.result()
                returned = True
                return result
            raise self.lost(name, args, begun=getattr(work, "begun", False))
        finally:
            self.link.calls.discard(failure)
            failure.cancel()
            if failure.done() and not failure.cancelled():
                failure.exception()  # who waited for it has seen it; if nobody did, that is no fault
            if not work.done():
                work.cancel()
                await asyncio.wait([work])
            if name.startswith("receive") and not returned and not work.cancelled() and work.exception() is None:
                self.undelivered(work.result())

    async def travel(self, verb, *args, **kwargs):
        """There, done, and back."""
        await self.link.pass_on("up")
        asyncio.current_task().begun = True
        result = await verb(*args, **kwargs)
        try:
            await self.link.pass_on("down")
        except BaseException:
            if verb.__name__.startswith("receive"):
                self.undelivered(result)
            raise
        return result

    def undelivered(self, deliveries):
        """Nobody is there to take them."""
        for each in deliveries:
            self._shared.give_back(each, timedelta(), spent=False)

    async def open(self):
        await self.call("open", super().open)

    def patience(self, kwargs):
        return TIMEOUT + kwargs.get("wait", timedelta()).total_seconds()

    def lost(self, name, args, *, begun):
        if name.startswith("enqueue") and begun:
            return EnqueueUnknownError("one of them" if name == "enqueue_batch" else args[0].id)
        return BrokerUnavailableError(f"{name}: the broker went away")

    def killed(self):
        """What the kill of the broker does to its store: nothing."""


VERBS = frozenset(verbs_of(MemoryDriver))


class LinkedHarness(ClassHarness):
    """With every power."""

    def __init__(self, kind=LinkedDriver):
        self.link = Link()
        super().__init__(type(kind.__name__, (kind,), {"link": self.link}))

    async def restart(self):
        self.link.cut()
        self._first.killed()

    async def pause(self):
        self.link.paused = True

    async def resume(self):
        self.link.paused = False

    async def cut(self):
        self.link.cut()

    async def sever(self, number, direction):
        self.link.fuse = (number, direction)

    async def slow(self, delay):
        self.link.delay = delay.total_seconds()

    async def heal(self):
        self.link.delay, self.link.fuse = 0.0, None

    async def raw(self, queue, body):
        from waybill.driver import Message

        number = len(self._first._shared.queue(queue).records)
        self._first._shared.enqueue(Message(f"raw-{number}", queue, body), None)


class HoldingDriver(LinkedDriver):
    """Its deliveries belong to the connection, as RabbitMQ's do."""

    @property
    def capabilities(self):
        return replace(super().capabilities, lease=None)

    async def open(self):
        self.held = {}
        await super().open()
        self._shared.lease = timedelta(days=36_500)  # nothing but the connection ends one

    async def call(self, name, verb, *args, **kwargs):
        if name != "open":
            self._store  # noqa: B018 - raises if it is closed
        if self not in self.link.connections:
            self.link.connections.append(self)
        if name in ("ack", "nack", "release", "extend", "bury") and args[0].receipt not in self.held:
            raise LeaseLostError("the connection that held it is gone, or it was settled")
        result = await super().call(name, verb, *args, **kwargs)
        if name in ("receive", "receive_many"):
            result = [replace(each, leased_until=None) for each in result]
            self.held |= {each.receipt: each for each in result}
        elif name == "extend":
            return args[0]
        elif name in ("ack", "nack", "release", "bury"):
            self.held.pop(args[0].receipt, None)
        elif name == "extend_batch":
            return [
                after if isinstance(after, Exception) else before for before, after in zip(args[0], result, strict=True)
            ]
        return result

    def dropped(self):
        """A connection that is gone has given back all it held."""
        for each in self.held.values():
            with contextlib.suppress(LeaseLostError):
                self._shared.give_back(each, timedelta(), spent=True)
        self.held.clear()

    async def close(self):
        self.dropped()
        if self in self.link.connections:
            self.link.connections.remove(self)
        await super().close()

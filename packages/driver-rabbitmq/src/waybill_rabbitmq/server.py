"""The server as the verbs see it: one connection to send on and one to receive on, each made when it is needed.

Two, as a server whose memory is full reads nothing more from a connection that publishes: on the other one, acks still
get through.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from waybill.errors import ConfigurationError

from .address import Address
from .failures import EXPECTED, BlockedError, UnansweredError, closed
from .link import Link
from .names import Names
from .options import RabbitMQOptions
from .publisher import Parcel, Publisher
from .topology import Topology

T = TypeVar("T")
PATIENCE = 1.0
"""Seconds that closing waits for the server's goodbye."""


class Line:
    """One of the two connections, as it is now."""

    def __init__(self, address: Address, names: Names, seconds: float) -> None:
        self._address, self._names, self._seconds = address, names, seconds
        self._link: Link | None = None
        self._connecting = asyncio.Lock()
        self.topology: Topology | None = None
        self.closing = False

    @property
    def now(self) -> Link | None:
        """The connection, if it lives."""
        return None if self._link is None or self._link.ended is not None else self._link

    async def link(self) -> Link:
        """The connection, made anew if it has ended: one try of each host.

        Raises:
            pika.exceptions.AMQPError, OSError: no host serves.
        """
        async with self._connecting:
            if self.closing:
                raise closed()
            if self.now is None:
                self._link = await self._connect()
                self.topology = Topology(self._names, self._link)
            assert self._link is not None
            return self._link

    async def declared(self) -> Topology:
        """What this connection knows of the queues."""
        await self.link()
        assert self.topology is not None
        return self.topology

    def abort(self) -> None:
        if self._link is not None:
            self._link.abort()

    async def close(self) -> None:
        self.closing = True
        if self._link is not None:
            await self._link.close(PATIENCE)

    async def _connect(self) -> Link:
        hosts = self._address.hosts
        patience = self._seconds / len(hosts)
        for number, (host, port) in enumerate(hosts, 1):
            link = Link(self._address.parameters(host, port, patience))
            try:
                async with asyncio.timeout(patience):
                    await link.open()
            except TimeoutError as error:
                if number == len(hosts):
                    raise UnansweredError(patience, sent=False) from error
            except EXPECTED:
                if number == len(hosts):
                    raise
            else:
                if self.closing:
                    await link.close(0)
                    raise closed()
                return link
        raise AssertionError


class Server:
    """One server or cluster, used from the loop that opened it."""

    def __init__(self, address: Address, options: RabbitMQOptions) -> None:
        self.address, self.options = address, options
        self.names = Names(options)
        self.seconds = options.timeout.total_seconds()
        self.sending = Line(address, self.names, self.seconds)
        self.receiving = Line(address, self.names, self.seconds)
        self.closing = False
        self._version: tuple[int, ...] = (0,)
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._publisher: Publisher | None = None
        self._switching = asyncio.Lock()

    def check_caller(self) -> None:
        """Refuse who cannot use this connection.

        Raises:
            DriverClosedError, ConfigurationError: it is closed; or it belongs to another loop or process.
        """
        if self.closing:
            raise closed()
        if asyncio.get_running_loop() is not self._loop or os.getpid() != self._process:
            raise ConfigurationError(
                "a RabbitMQ driver belongs to the event loop and the process that opened it, and this is another. "
                "Pass a URL or a factory, so that each gets its own."
            )

    @property
    def version(self) -> tuple[int, ...]:
        """The server's, as far as it is known."""
        return self._version

    def learn(self, link: Link) -> None:
        """Note what the server says of itself."""
        told = str(link.server.get("version", "0"))
        self._version = tuple(int(part) for part in told.split(".")[:3] if part.isdecimal())

    def forget(self, queue: str) -> None:
        """A queue turned out not to be there."""
        for line in (self.sending, self.receiving):
            if line.topology is not None:
                line.topology.forget(queue)

    def deadline(self) -> float:
        """When a verb that begins now must have ended, on the loop's clock."""
        return self._loop.time() + self.seconds

    async def within(self, line: Line, work: Awaitable[T], end: float | None = None) -> T:
        """The result of some work on a line, in time; one that does not answer in time is hung up.

        Raises:
            UnansweredError, LostError, pika.exceptions.AMQPError, OSError: see failures.py.
            DriverClosedError: the driver was closed meanwhile.
        """
        limit = asyncio.timeout_at(self.deadline() if end is None else end)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if not limit.expired():
                raise
            line.abort()  # its answers would come too late for others as well
            raise UnansweredError(self.seconds, sent=True) from error
        except EXPECTED as error:
            if self.closing:
                raise closed() from error
            raise

    async def prepare(self, queue: str, end: float, *, delayed: bool) -> None:
        """Have the queue, and the way to it, before something is sent there.

        Raises:
            As `within`, and BlockedError.
        """
        await self._ready(end)
        topology = self.sending.topology
        assert topology is not None
        if not topology.knows(queue, delayed=delayed):
            await self.within(self.sending, topology.ladder(queue) if delayed else topology.queue(queue), end)

    async def publish(self, parcels: Sequence[Parcel], end: float) -> Sequence[Exception | None]:
        """Send, and wait for the confirms; what became of each, None being well.

        Raises:
            As `within`, and BlockedError; then nothing was sent.
        """
        publisher = await self._ready(end)
        shipment = publisher.send(parcels)
        told = await shipment.wait(end)
        link = self.sending.now
        if not told and link is not None and link.blocked is None:
            link.abort()  # its answers would come too late for others as well
        return shipment.outcomes

    def _at_hand(self) -> Publisher | None:
        """The publisher, unless it has to be waited for."""
        link, publisher = self.sending.now, self._publisher
        if link is None or link.blocked is not None or publisher is None or publisher.channel.ended is not None:
            return None
        return publisher

    async def _ready(self, end: float) -> Publisher:
        """A publisher whose connection the server reads from."""
        return self._at_hand() or await self._make_ready(end)

    async def _make_ready(self, end: float) -> Publisher:
        limit = asyncio.timeout_at(end)
        blocked: str | None = None
        try:
            async with limit:
                link = await self.sending.link()
                blocked = link.blocked
                await link.flowing()
                blocked = None
                async with self._switching:
                    if self._publisher is None or self._publisher.channel.ended is not None:
                        publisher = Publisher(await link.channel())
                        await publisher.open()
                        self._publisher = publisher
                    return self._publisher
        except TimeoutError as error:
            if not limit.expired():
                raise
            if blocked is not None:
                raise BlockedError(blocked) from None
            self.sending.abort()
            raise UnansweredError(self.seconds, sent=False) from error
        except EXPECTED as error:
            if self.closing:
                raise closed() from error
            raise

    async def close(self) -> None:
        """Hang up; what was received and not settled goes back to its queues."""
        self.closing = True
        await asyncio.gather(self.sending.close(), self.receiving.close())

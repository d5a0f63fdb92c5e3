"""The verbs. What each sends is in the module of its name."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from waybill.driver import (
    BrokerUrl,
    Capabilities,
    DeadLetter,
    Delivery,
    Due,
    Message,
    Note,
    Page,
    QueueStats,
    only,
)
from waybill.errors import DeadReason, WaybillError
from waybill.timing import ZERO, Duration, parse_duration

from . import dead, look
from .address import Address
from .diagnose import notes
from .enqueue import enqueue
from .failures import EXPECTED, closed, while_calling, while_opening
from .opening import check
from .options import RabbitMQOptions
from .receive import Receiving
from .server import Server
from .settle import Settle

T = TypeVar("T")
_LARGEST: Final = 16 * 2**20
"""Bytes: the server's default max_message_size from 4.0 on."""
_DEFAULT_CONSUMER_TIMEOUT: Final = timedelta(minutes=30)


class RabbitMQDriver:
    """Messages on one RabbitMQ server or cluster, shared by any number of processes and machines.

    Args:
        url: of the server: amqp://user:password@host:5672/vhost, amqps:// for TLS; several hosts with commas between
            them; with the options below.
        timeout: how long a verb may take.
        prefix: what the names of queues begin with.
        queue_type: what kind of queues jobs wait in.
        declare: whether queues are made, looked for, or taken to be there.
        delivery_limit: after so many vanished holders the server gives a message up (quorum).
        max_priority: the highest priority (classic).
        delay_unit: the shortest delay, of which every other one is a multiple.
        delay_levels: how many times the longest delay is doubled.
        consumer_timeout: how long the server lets a message be held.
        prefetch: the most messages of a queue that are pushed to this process; 0: as many as are asked for.
        single_active_consumer: whether one process at a time receives a queue's messages.
        heartbeat: after twice this time without a sign of life a connection counts as lost.
        tls_ca: a file of certificates that are trusted.
        tls_cert: this client's certificate.
        tls_key: this client's private key.
        tls_server_name: the name in the server's certificate, where it is not the host's.
        tls_verify: whether the server's certificate is verified.
    """

    def __init__(
        self,
        url: str | BrokerUrl = "amqp://localhost",
        *,
        timeout: Duration = "10s",
        prefix: str = "waybill",
        queue_type: Literal["quorum", "classic"] = "quorum",
        declare: Literal["create", "passive", "none"] = "create",
        delivery_limit: int = 20,
        max_priority: int = 0,
        delay_unit: Duration = "100ms",
        delay_levels: int = 32,
        consumer_timeout: Duration | None = None,
        prefetch: int = 0,
        single_active_consumer: bool = False,
        heartbeat: Duration = "60s",
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        tls_server_name: str | None = None,
        tls_verify: bool = True,
    ) -> None:
        self.options = RabbitMQOptions(
            timeout=parse_duration(timeout, bare=False),
            prefix=prefix,
            queue_type=queue_type,
            declare=declare,
            delivery_limit=delivery_limit,
            max_priority=max_priority,
            delay_unit=parse_duration(delay_unit, bare=False),
            delay_levels=delay_levels,
            consumer_timeout=None if consumer_timeout is None else parse_duration(consumer_timeout, bare=False),
            prefetch=prefetch,
            single_active_consumer=single_active_consumer,
            heartbeat=parse_duration(heartbeat, bare=False),
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_server_name=tls_server_name,
            tls_verify=tls_verify,
        )
        parsed = BrokerUrl.parse(url) if isinstance(url, str) else url
        if parsed.query:
            self.options = parsed.options(RabbitMQOptions)
        self._address = Address.of(parsed, self.options)
        self._server: Server | None = None
        self._receiving: Receiving | None = None
        self._settle: Settle | None = None

    @classmethod
    def from_url(cls, url: BrokerUrl) -> RabbitMQDriver:
        return cls(url, **asdict(url.options(RabbitMQOptions)))

    @property
    def capabilities(self) -> Capabilities:
        options = self.options
        return Capabilities(
            max_message_bytes=_LARGEST,
            max_batch=1000,
            parallel_batches=4,
            lease=None,
            max_run=options.consumer_timeout or _DEFAULT_CONSUMER_TIMEOUT,
            # A classic queue confirms what is written, before it is on the disk.
            durability="host-lazy" if options.queue_type == "classic" else "host-fsync",
            delay_resolution=options.delay_unit,
            fencing="strict",
            idempotent_enqueue=None,
            exact_attempts=False,
            ordering="fifo",
            priorities=options.max_priority + 1,
            purge="ready",
            dead_browse="ordered",
        )

    # -- opening and closing ---------------------------------------------------------------------------

    async def open(self) -> None:
        if self._server is not None and not self._server.closing:
            self._server.check_caller()
            return
        server = self._server = Server(self._address, self.options)
        self._receiving = Receiving(server)
        self._settle = Settle(server, self._receiving)
        try:
            await check(server)
        except EXPECTED as error:
            await server.close()
            raise while_opening(error, self._address.where) from error
        except BaseException:
            await server.close()
            raise

    async def close(self) -> None:
        if self._server is not None and not self._server.closing:
            self._server.check_caller()
            self._server.closing = True
            if self._receiving is not None:
                await self._receiving.close()
            await self._server.close()

    # -- sending ---------------------------------------------------------------------------------------

    async def enqueue(self, message: Message) -> str:
        return only(await self.enqueue_batch(((message, None),)))

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        return only(await self.enqueue_batch(((message, delay),)))

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        return only(await self.enqueue_batch(((message, when),)))

    async def enqueue_batch(self, items: Sequence[tuple[Message, Due]]) -> Sequence[str | WaybillError]:
        return await enqueue(self._open_server, items)

    # -- receiving -------------------------------------------------------------------------------------

    async def receive(self, queue: str, *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        return await self.receive_many((queue,), limit=limit, wait=wait)

    async def receive_many(self, queues: Sequence[str], *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        if self._receiving is None:
            raise closed()
        return await self._tell("receive", self._receiving.receive(queues, limit, wait))

    # -- settling --------------------------------------------------------------------------------------

    async def ack(self, delivery: Delivery) -> None:
        only(await self.ack_batch((delivery,)))

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        only(await self.nack_batch(((delivery, delay),)))

    async def release(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        only(await self._open_settle.release(delivery, delay))

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None = None) -> None:
        only(await self._open_settle.bury(delivery, reason, to))

    async def extend(self, delivery: Delivery) -> Delivery:
        return only(await self.extend_batch((delivery,)))

    async def ack_batch(self, deliveries: Sequence[Delivery]) -> Sequence[WaybillError | None]:
        return await self._open_settle.ack(deliveries)

    async def nack_batch(self, items: Sequence[tuple[Delivery, timedelta]]) -> Sequence[WaybillError | None]:
        return await self._open_settle.nack(items)

    async def extend_batch(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery | WaybillError]:
        return await self._open_settle.extend(deliveries)

    # -- dead letters ----------------------------------------------------------------------------------

    async def list_dead(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        return await self._ask("list_dead", dead.list_dead(self._open_server, queue, after, limit))

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        return await self._ask("retry_dead", dead.retry_dead(self._open_server, queue, ids))

    async def purge_dead(self, queue: str) -> int:
        server = self._open_server
        return await self._ask("purge_dead", look.purge(server, server.names.dead(queue)))

    # -- looking and clearing --------------------------------------------------------------------------

    async def stats(self, queue: str) -> QueueStats:
        return await self._ask("stats", look.stats(self._open_server, queue))

    async def purge(self, queue: str, *, force: bool = False) -> int:
        server = self._open_server
        return await self._ask("purge", look.purge(server, server.names.queue(queue)))

    async def diagnose(self) -> Sequence[Note]:
        server = self._open_server
        lost = await self._ask("diagnose", look.count(server, server.names.unroutable))
        blocked = None if server.sending.now is None else server.sending.now.blocked
        return list(notes(server.version, self.options, lost, server.names.unroutable, blocked))

    # ---------------------------------------------------------------------------------------------------

    @property
    def _open_server(self) -> Server:
        if self._server is None:
            raise closed()
        self._server.check_caller()
        return self._server

    @property
    def _open_settle(self) -> Settle:
        if self._settle is None:
            raise closed()
        return self._settle

    async def _ask(self, verb: str, work: Coroutine[Any, Any, T]) -> T:
        """What a verb of the receiving connection returns, in time."""
        server = self._open_server
        return await self._tell(verb, server.within(server.receiving, work))

    async def _tell(self, verb: str, work: Coroutine[Any, Any, T]) -> T:
        """What a verb returns; what goes wrong with the server is told as Waybill's error."""
        try:
            return await work
        except EXPECTED as error:
            raise while_calling(error, self._address.where, verb) from error

    def __repr__(self) -> str:
        return f"RabbitMQDriver({self._address.where!r})"

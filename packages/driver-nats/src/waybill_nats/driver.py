"""The verbs. What each sends, and what it makes of the answer, is in the module of its name."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from waybill.driver import (
    BrokerUrl,
    Capabilities,
    DeadLetter,
    DelayedMessage,
    Delivery,
    Due,
    Message,
    Note,
    Page,
    QueueStats,
    StateEntry,
    StateValue,
    UniqueClaim,
    only,
)
from waybill.errors import DeadReason, WaybillError
from waybill.timing import ZERO, Duration, parse_duration

from .address import Address
from .cancel import PAUSES
from .diagnose import notes
from .failures import EXPECTED, closed, while_calling, while_opening
from .names import Names
from .opening import COUNTS, Facts, check
from .options import NatsOptions
from .parcel import largest_body
from .parts import Parts

T = TypeVar("T")
_NAMESPACE: Final = "waybill"


class NatsDriver:
    """Messages in NATS JetStream, shared by any number of processes and machines.

    Args:
        url: of the servers: nats://user:password@one,two,three/namespace, tls+nats:// for TLS; with the options below.
        lease: how long a delivery belongs to its receiver; it is stored with the queues.
        timeout: how long a verb may take.
        priorities: how many levels there are; it is stored with the queues.
        change: whether a stored lease is replaced by this one.
        replicas: on how many servers of a cluster each job is kept.
        dedup_window: how long an id is remembered.
        max_jobs: how many messages a queue takes before it refuses more; 0: any number.
        max_bytes: how many bytes a queue takes before it refuses more; 0: any number.
        create: whether streams and consumers that are missing are made.
        scheduler: who watches over delays: the server where it can, or receivers, over messages that are parked.
        ack: whether an ack waits until the server has it.
        creds: a file with the user's JWT and seed.
        nkey: a file with the user's seed.
        inbox_prefix: what the subjects of answers begin with.
        tls_ca: a file of certificates that are trusted.
        tls_cert: this client's certificate.
        tls_key: this client's private key.
        tls_server_name: the name in the server's certificate, where it is not the host's.
        tls_verify: whether the server's certificate is verified.
    """

    cancel: Callable[[str, str], Coroutine[Any, Any, bool]]
    """There from NATS 2.11 on, once the driver is open."""

    def __init__(
        self,
        url: str | BrokerUrl = "nats://localhost",
        *,
        lease: Duration = "60s",
        timeout: Duration = "10s",
        priorities: int = 3,
        change: bool = False,
        replicas: int = 1,
        dedup_window: Duration = "2m",
        max_jobs: int = 0,
        max_bytes: int = 0,
        create: Literal["auto", "never"] = "auto",
        scheduler: Literal["auto", "native", "park"] = "auto",
        ack: Literal["confirm", "fast"] = "confirm",
        creds: str | None = None,
        nkey: str | None = None,
        inbox_prefix: str = "_INBOX",
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        tls_server_name: str | None = None,
        tls_verify: bool = True,
    ) -> None:
        lease, timeout, dedup_window = (parse_duration(each, bare=False) for each in (lease, timeout, dedup_window))
        options = NatsOptions(
            lease=lease,
            timeout=timeout,
            priorities=priorities,
            change=change,
            replicas=replicas,
            dedup_window=dedup_window,
            max_jobs=max_jobs,
            max_bytes=max_bytes,
            create=create,
            scheduler=scheduler,
            ack=ack,
            creds=creds,
            nkey=nkey,
            inbox_prefix=inbox_prefix,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_server_name=tls_server_name,
            tls_verify=tls_verify,
        )
        parsed = BrokerUrl.parse(url) if isinstance(url, str) else url
        self.options = parsed.options(NatsOptions) if parsed.query else options
        self._address = Address.of(parsed, self.options)
        self._names = Names(parsed.path or _NAMESPACE)
        self._facts: Facts | None = None
        self._parts: Parts | None = None

    @classmethod
    def from_url(cls, url: BrokerUrl) -> NatsDriver:
        return cls(url, **asdict(url.options(NatsOptions)))

    def clone(self) -> NatsDriver:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__, _parts=None)
        twin.__dict__.pop("cancel", None)
        return twin

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            max_message_bytes=largest_body(None if self._facts is None else self._facts.max_payload),
            max_batch=1000,
            parallel_batches=2,
            lease=self.options.lease,
            durability="replicated" if self.options.replicas > 1 else "host-lazy",
            delay_resolution=timedelta(milliseconds=1),
            fencing="local",
            idempotent_enqueue=self.options.dedup_window,
            exact_attempts=self._facts is not None and self._facts.version >= COUNTS,
            ordering="fifo",
            priorities=self.options.priorities,
            unique=UniqueClaim(frozenset({"done", "start", "window"}), reported=True),
            purge="all",
            dead_browse="ordered",
        )

    # -- opening and closing ---------------------------------------------------------------------------

    async def open(self) -> None:
        if self._parts is not None and not self._parts.server.closing:
            self._parts.server.check_caller()
            return
        parts = self._parts = Parts(self._address, self.options, self._names)
        try:
            self._facts = await check(parts.server, self._names, parts.topology, parts.bucket)
        except EXPECTED as error:
            await parts.close()
            raise while_opening(error, self._address.where) from error
        except BaseException:
            await parts.close()
            raise
        if self._facts.version >= PAUSES:
            self.cancel = self._cancel

    async def close(self) -> None:
        if self._parts is not None and not self._parts.server.closing:
            self._parts.server.check_caller()
            await self._parts.close()

    # -- sending ---------------------------------------------------------------------------------------

    async def enqueue(self, message: Message) -> str:
        return only(await self.enqueue_batch(((message, None),)))

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        return only(await self.enqueue_batch(((message, delay),)))

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        return only(await self.enqueue_batch(((message, when),)))

    async def enqueue_batch(self, items: Sequence[tuple[Message, Due]]) -> Sequence[str | WaybillError]:
        return await self._open_parts.sending.enqueue(items)

    # -- receiving -------------------------------------------------------------------------------------

    async def receive(self, queue: str, *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        return await self.receive_many((queue,), limit=limit, wait=wait)

    async def receive_many(self, queues: Sequence[str], *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        return await self._tell("receive", self._open_parts.receiving.receive(queues, limit, wait))

    # -- settling --------------------------------------------------------------------------------------

    async def ack(self, delivery: Delivery) -> None:
        only(await self.ack_batch((delivery,)))

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        only(await self.nack_batch(((delivery, delay),)))

    async def release(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        await self._tell("release", self._open_parts.settling.release(delivery, delay))

    async def extend(self, delivery: Delivery) -> Delivery:
        return only(await self.extend_batch((delivery,)))

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None = None) -> None:
        await self._tell("bury", self._open_parts.settling.bury(delivery, reason, to))

    async def ack_batch(self, deliveries: Sequence[Delivery]) -> Sequence[WaybillError | None]:
        return await self._tell("ack", self._open_parts.settling.ack(deliveries))

    async def nack_batch(self, items: Sequence[tuple[Delivery, timedelta]]) -> Sequence[WaybillError | None]:
        return await self._tell("nack", self._open_parts.settling.give_back(items))

    async def extend_batch(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery | WaybillError]:
        return await self._tell("extend", self._open_parts.settling.extend(deliveries))

    # -- dead letters ----------------------------------------------------------------------------------

    async def list_dead(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        return await self._tell("list_dead", self._open_parts.letters.list(queue, after, limit))

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        return await self._tell("retry_dead", self._open_parts.letters.retry(queue, ids))

    async def purge_dead(self, queue: str) -> int:
        return await self._tell("purge_dead", self._open_parts.letters.purge(queue))

    # -- looking and clearing --------------------------------------------------------------------------

    async def stats(self, queue: str) -> QueueStats:
        return await self._tell("stats", self._open_parts.looking.stats(queue))

    async def queues(self) -> Sequence[str]:
        return await self._tell("queues", self._open_parts.looking.queues())

    async def list_delayed(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DelayedMessage]:
        return await self._tell("list_delayed", self._open_parts.looking.list_delayed(queue, after, limit))

    async def purge(self, queue: str, *, force: bool = False) -> int:
        return await self._tell("purge", self._open_parts.clearing.purge(queue))

    async def _cancel(self, queue: str, message_id: str) -> bool:
        return await self._tell("cancel", self._open_parts.cancelling.cancel(queue, message_id))

    async def diagnose(self) -> Sequence[Note]:
        parts = self._open_parts
        facts = await self._tell("diagnose", check(parts.server, self._names, parts.topology, parts.bucket))
        return list(notes(facts, self.options))

    # -- state -----------------------------------------------------------------------------------------

    async def state_get(self, key: str) -> StateValue | None:
        return await self._tell("state_get", self._open_parts.state.get(key))

    async def state_put(
        self, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None = None
    ) -> int | None:
        return await self._tell("state_put", self._open_parts.state.put(key, value, expect=expect, ttl=ttl))

    async def state_delete(self, key: str, *, expect: int) -> bool:
        return await self._tell("state_delete", self._open_parts.state.delete(key, expect))

    async def state_list(self, prefix: str, *, after: str | None = None, limit: int = 100) -> Page[StateEntry]:
        return await self._tell("state_list", self._open_parts.state.list(prefix, after, limit))

    # ---------------------------------------------------------------------------------------------------

    @property
    def _open_parts(self) -> Parts:
        if self._parts is None:
            raise closed()
        self._parts.server.check_caller()
        return self._parts

    async def _tell(self, verb: str, work: Coroutine[Any, Any, T]) -> T:
        """What a verb returns; what goes wrong with the server is told as Waybill's error."""
        try:
            return await work
        except EXPECTED as error:
            raise while_calling(error, self._address.where, verb) from error

    def __repr__(self) -> str:
        return f"NatsDriver({self._address.where!r})"

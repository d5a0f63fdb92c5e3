"""The verbs. Each is a call or two of a script; what it sends is in the module of its name, what it does in lua/."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

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

from . import clear, dead, look, settle, state
from .address import Address
from .cluster import Cluster
from .diagnose import notes
from .enqueue import enqueue
from .failures import EXPECTED, closed, while_calling, while_opening
from .keys import Keys
from .keyspace import Keyspace
from .opening import Durability, check, look as look_at, weakest
from .options import RedisOptions
from .receive import Receiving
from .server import Server

T = TypeVar("T")
_LARGEST: Final = 64 * 2**20
"""Bytes: Redis takes 512 MB, and stands still for everybody while it does."""


class RedisDriver:
    """Messages on one Redis or Valkey server, shared by any number of processes and machines.

    Args:
        url: of the server: redis://user:password@host:6379/0, rediss:// for TLS; an option in it beats the keyword.
        client: a ready `redis.asyncio.Redis` in place of a URL. It says where to connect to and how; connections are
            the driver's own.
        lease: how long a delivery belongs to its receiver.
        timeout: how long a verb may take.
        prefix: what every key begins with.
        look: how often a waiting receive looks by itself.
        wait_replicas: how many replicas must have a message before its enqueue is confirmed.
        wait_fsync: whether a message must be on the server's disk before its enqueue is confirmed (Redis 7.2).
        allow_eviction: whether to use a server that may throw keys away.
        socket: the path of a Unix socket, in place of a host.
        sentinel: the name of the master that the hosts, which are Sentinels then, watch over.
        cluster: whether the hosts are nodes of a Redis Cluster.
        tls_ca: a file of certificates that are trusted.
        tls_cert: this client's certificate.
        tls_key: this client's private key.
        tls_server_name: the name in the server's certificate, where it is not the host's.
        tls_verify: whether the server's certificate is verified.
    """

    def __init__(
        self,
        url: str | BrokerUrl = "redis://localhost",
        *,
        client: Any = None,
        lease: Duration = "60s",
        timeout: Duration = "10s",
        prefix: str = "waybill",
        look: Duration = "2s",
        wait_replicas: int = 0,
        wait_fsync: bool = False,
        allow_eviction: bool = False,
        socket: str | None = None,
        sentinel: str | None = None,
        cluster: bool = False,
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        tls_server_name: str | None = None,
        tls_verify: bool = True,
    ) -> None:
        lease, timeout, look = (parse_duration(each, bare=False) for each in (lease, timeout, look))
        self.options = RedisOptions(
            lease=lease,
            timeout=timeout,
            prefix=prefix,
            look=look,
            wait_replicas=wait_replicas,
            wait_fsync=wait_fsync,
            allow_eviction=allow_eviction,
            socket=socket,
            sentinel=sentinel,
            cluster=cluster,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_server_name=tls_server_name,
            tls_verify=tls_verify,
        )
        if client is not None:
            self._address = Address.of_client(client)
        else:
            parsed = BrokerUrl.parse(url) if isinstance(url, str) else url
            given = parsed.options(RedisOptions)
            self.options = replace(self.options, **{name: getattr(given, name) for name in parsed.query})
            self._address = Address.of(parsed, self.options)
        self._keys = Keys(self.options.prefix)
        self._durability: Durability = "replicated" if self.options.wait_replicas else "process"
        self._space: Keyspace | None = None
        self._receiving: Receiving | None = None

    @classmethod
    def from_url(cls, url: BrokerUrl) -> RedisDriver:
        return cls(url)

    def clone(self) -> RedisDriver:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__, _space=None, _receiving=None)
        return twin

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            max_message_bytes=_LARGEST,
            max_batch=1000,
            parallel_batches=2,
            lease=self.options.lease,
            durability=self._durability,
            delay_resolution=timedelta(milliseconds=1),
            fencing="strict",
            idempotent_enqueue=ZERO,
            exact_attempts=True,
            ordering="group",
            priorities=10,
            unique=UniqueClaim(frozenset({"done", "start", "window"}), reported=True),
            purge="all",
            dead_browse="ordered",
        )

    # -- opening and closing ---------------------------------------------------------------------------

    async def open(self) -> None:
        if self._space is not None and not self._space.closing:
            self._space.check_caller()
            return
        space: Keyspace = (Cluster if self.options.cluster else Server)(self._address, self.options)
        self._space, self._receiving = space, Receiving(space, self._keys)
        try:
            facts = [await check(each, self.options) for each in await space.servers()]
        except BaseException as error:
            await space.close()
            if isinstance(error, EXPECTED):
                raise while_opening(error, self._address.where) from error
            raise
        self._durability = weakest(facts, self.options)

    async def close(self) -> None:
        if self._space is not None and not self._space.closing:
            self._space.check_caller()
            if self._receiving is not None:
                self._receiving.end()
            await self._space.close()

    # -- sending ---------------------------------------------------------------------------------------

    async def enqueue(self, message: Message) -> str:
        return only(await enqueue(self._open_space, self._keys, ((message, None),)))

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        return only(await enqueue(self._open_space, self._keys, ((message, delay),)))

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        return only(await enqueue(self._open_space, self._keys, ((message, when),)))

    async def enqueue_batch(self, items: Sequence[tuple[Message, Due]]) -> Sequence[str | WaybillError]:
        return await enqueue(self._open_space, self._keys, items)

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
        released = settle.give_back(self._open_space, self._keys, ((delivery, delay),), spent=False)
        only(await self._tell("release", released))

    async def extend(self, delivery: Delivery) -> Delivery:
        return only(await self.extend_batch((delivery,)))

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None = None) -> None:
        await self._tell("bury", settle.bury(self._open_space, self._keys, delivery, reason, to))

    async def ack_batch(self, deliveries: Sequence[Delivery]) -> Sequence[WaybillError | None]:
        return await self._tell("ack", settle.ack(self._open_space, self._keys, deliveries))

    async def nack_batch(self, items: Sequence[tuple[Delivery, timedelta]]) -> Sequence[WaybillError | None]:
        return await self._tell("nack", settle.give_back(self._open_space, self._keys, items, spent=True))

    async def extend_batch(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery | WaybillError]:
        return await self._tell("extend", settle.extend(self._open_space, self._keys, deliveries))

    # -- dead letters ----------------------------------------------------------------------------------

    async def list_dead(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        return await self._tell("list_dead", dead.list_dead(self._open_space, self._keys, queue, after, limit))

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        return await self._tell("retry_dead", dead.retry_dead(self._open_space, self._keys, queue, ids))

    async def purge_dead(self, queue: str) -> int:
        return await self._tell("purge_dead", dead.purge_dead(self._open_space, self._keys, queue))

    # -- looking and clearing --------------------------------------------------------------------------

    async def stats(self, queue: str) -> QueueStats:
        return await self._tell("stats", look.stats(self._open_space, self._keys, queue))

    async def queues(self) -> Sequence[str]:
        return await self._tell("queues", look.queues(self._open_space, self._keys))

    async def list_delayed(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DelayedMessage]:
        found = look.list_delayed(self._open_space, self._keys, queue, after, limit)
        return await self._tell("list_delayed", found)

    async def purge(self, queue: str, *, force: bool = False) -> int:
        return await self._tell("purge", clear.purge(self._open_space, self._keys, queue))

    async def cancel(self, queue: str, message_id: str) -> bool:
        return await self._tell("cancel", clear.cancel(self._open_space, self._keys, queue, message_id))

    async def diagnose(self) -> Sequence[Note]:
        servers = await self._tell("diagnose", self._open_space.servers())
        facts = [await self._tell("diagnose", look_at(each)) for each in servers]
        return list(dict.fromkeys(note for each in facts for note in notes(each, self.options)))

    # -- state -----------------------------------------------------------------------------------------

    async def state_get(self, key: str) -> StateValue | None:
        return await self._tell("state_get", state.state_get(self._open_space, self._keys, key))

    async def state_put(
        self, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None = None
    ) -> int | None:
        put = state.state_put(self._open_space, self._keys, key, value, expect=expect, ttl=ttl)
        return await self._tell("state_put", put)

    async def state_delete(self, key: str, *, expect: int) -> bool:
        return await self._tell("state_delete", state.state_delete(self._open_space, self._keys, key, expect))

    async def state_list(self, prefix: str, *, after: str | None = None, limit: int = 100) -> Page[StateEntry]:
        found = state.state_list(self._open_space, self._keys, prefix, after, limit)
        return await self._tell("state_list", found)

    @property
    def _open_space(self) -> Keyspace:
        if self._space is None:
            raise closed()
        self._space.check_caller()
        return self._space

    async def _tell(self, verb: str, work: Coroutine[Any, Any, T]) -> T:
        """What a verb returns; what goes wrong with the server is told as Waybill's error."""
        try:
            return await work
        except EXPECTED as error:
            raise while_calling(error, self._address.where, verb) from error

    def __repr__(self) -> str:
        return f"RedisDriver({self._address.where!r})"

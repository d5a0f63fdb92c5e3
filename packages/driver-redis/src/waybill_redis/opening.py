"""What must be true of a server before anything is sent to it, and how safe its data is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from redis.exceptions import ResponseError

from waybill.errors import BrokerUnavailableError, ConfigurationError

from .options import RedisOptions
from .server import Server

Durability = Literal["process", "host-lazy", "host-fsync", "replicated"]
_WEAKEST_FIRST: Final[tuple[Durability, ...]] = ("process", "host-lazy", "host-fsync", "replicated")
_OLDEST: Final = (6, 2)
_WITH_WAITAOF: Final = (7, 2)
_SAFE: Final = "noeviction"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server said of itself."""

    version: str
    policy: str
    maxmemory: int
    used: int
    appendonly: bool
    fsync: str | None
    """None: it does not say."""
    lax: bool
    """Whether it does not wait for the disk while it rewrites its log (no-appendfsync-on-rewrite)."""
    saves: bool
    """Whether it has saved a snapshot, or is told to."""
    replicas: int
    clustered: bool
    """Whether it is a node of a cluster."""
    role: str

    @property
    def may_evict(self) -> bool:
        return self.maxmemory > 0 and self.policy != _SAFE

    def durability(self, options: RedisOptions) -> Durability:
        if options.wait_replicas:
            return "replicated"
        if not self.appendonly:
            return "process"
        if options.wait_fsync or (self.fsync == "always" and not self.lax):
            return "host-fsync"
        # With everysec Redis answers before it has written to its log, when an fsync is under way: a kill takes what
        # was answered along. With the others it writes first.
        return "host-lazy" if self.fsync in ("always", "no") else "process"


async def look(server: Server) -> Facts:
    """What it says.

    Raises:
        redis.RedisError: it does not say.
    """
    answer: bytes = await server.ask("INFO", "everything")
    lines = answer.decode("utf-8", "replace").splitlines()
    said = {name: value for name, _, value in (line.partition(":") for line in lines)}
    try:
        told = [each.decode() for each in await server.ask("CONFIG", "GET", "*appendfsync*")]
    except ResponseError:  # closed on many managed servers
        told = []
    settings = dict(zip(told[::2], told[1::2], strict=True))
    return Facts(
        version=said.get("redis_version", "0"),
        policy=said.get("maxmemory_policy", "unknown"),
        maxmemory=int(said.get("maxmemory", 0)),
        used=int(said.get("used_memory", 0)),
        appendonly=said.get("aof_enabled") == "1",
        fsync=settings.get("appendfsync"),
        lax=settings.get("no-appendfsync-on-rewrite") == "yes",
        saves=said.get("rdb_last_save_time", "0") != "0",
        replicas=int(said.get("connected_slaves", 0)),
        clustered=said.get("cluster_enabled") == "1",
        role=said.get("role", "master"),
    )


async def check(server: Server, options: RedisOptions) -> Facts:
    """The facts of a server that will do.

    Raises:
        ConfigurationError: it will not, and why.
        BrokerUnavailableError: it will not now: it is a replica, as during a failover.
    """
    facts = await look(server)
    where = server.address.where
    if _numbers(facts.version) < _OLDEST:
        raise ConfigurationError(
            f"{where}: Redis {facts.version} is too old; this driver needs 6.2 or newer, or Valkey. Nothing was "
            "changed. Upgrade the server."
        )
    if facts.may_evict and not options.allow_eviction:
        raise ConfigurationError(
            f"{where}: its maxmemory-policy is {facts.policy}, so when its memory is full it throws jobs away. "
            "Nothing was changed. Set maxmemory-policy noeviction, or accept the loss with allow_eviction=true."
        )
    if options.wait_fsync and (not facts.appendonly or _numbers(facts.version) < _WITH_WAITAOF):
        raise ConfigurationError(
            f"{where}: wait_fsync=true needs appendonly yes and Redis 7.2 or newer, or Valkey; this is "
            f"{facts.version}, with appendonly {'yes' if facts.appendonly else 'no'}. Nothing was changed. Without the "
            "option, set appendfsync always."
        )
    if facts.clustered and not options.cluster:
        raise ConfigurationError(f"{where}: it is a node of a Redis Cluster. Nothing was changed. Add cluster=true.")
    if facts.role != "master":
        raise BrokerUnavailableError(f"{where}: it is a replica, which takes no jobs. Name the master.")
    return facts


def weakest(facts: Iterable[Facts], options: RedisOptions) -> Durability:
    """What all servers together keep."""
    found = {each.durability(options) for each in facts}
    return next(each for each in _WEAKEST_FIRST if each in found)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())

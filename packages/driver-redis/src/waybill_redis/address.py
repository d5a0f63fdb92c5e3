"""Where the server is and how to log in: everything a connection is made of."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from waybill.driver import BrokerUrl
from waybill.errors import ConfigurationError

from .options import RedisOptions
from .sentinel import Watched

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_logger: Final = logging.getLogger("waybill.redis")


class _NamedSSLConnection(SSLConnection):
    """One that expects another name in the certificate than the host's."""

    server_name: str | None = None

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = dict(super()._connection_arguments())
        if self.server_name is not None:
            arguments["server_hostname"] = self.server_name
        return arguments


@dataclass(frozen=True, slots=True)
class Address:
    """A server; it never shows a password."""

    where: str
    """What errors call it."""
    kind: type[AbstractConnection]
    arguments: Mapping[str, Any] = field(repr=False)
    server_name: str | None = None
    watched: Watched | None = None
    """The master to ask Sentinels for, in place of a host."""
    seeds: tuple[tuple[str, int], ...] = ()
    """Of a cluster: some of its nodes."""

    @classmethod
    def of(cls, url: BrokerUrl, options: RedisOptions) -> Address:
        """What the URL and the options say.

        Raises:
            ConfigurationError: they do not fit each other.
        """
        login = {"db": _database(url.path), "username": url.username, "password": url.password}
        if options.socket is not None:
            if url.hosts:
                raise ConfigurationError("redis: socket= takes no host: write redis:///0?socket=/run/redis.sock")
            return cls(f"redis at {options.socket}", UnixDomainSocketConnection, {"path": options.socket, **login})
        watched, seeds = _watched(url, options), _seeds(url, options)
        if len(url.hosts) > 1 and watched is None and not seeds:
            raise ConfigurationError(
                f"redis: {len(url.hosts)} hosts are given, and this driver uses one server: redis://host:6379/0. "
                "For Sentinels, add sentinel=<name of the master>; for nodes of a cluster, cluster=true"
            )
        host, port = url.hosts[0] if url.hosts else ("localhost", None)
        arguments = {"host": host, "port": port or PORT, **login}
        where = f"{url.scheme}://{host}:{port or PORT}/{arguments['db']}"
        if watched is not None:
            where = f"{url.scheme}:// master {watched.name!r} of {len(watched.sentinels)} sentinels"
        if seeds:
            where = f"{url.scheme}:// cluster of {', '.join(f'{name}:{at}' for name, at in seeds)}"
        if url.scheme != "rediss":
            return cls(where, Connection, arguments, watched=watched, seeds=seeds)
        if not options.tls_verify:
            _logger.warning("%s: the server's certificate is not verified (tls_verify=false)", where)
        tls = {
            "ssl_ca_certs": options.tls_ca,
            "ssl_certfile": options.tls_cert,
            "ssl_keyfile": options.tls_key,
            "ssl_cert_reqs": "required" if options.tls_verify else "none",
            "ssl_check_hostname": options.tls_verify,
        }
        return cls(where, _NamedSSLConnection, arguments | tls, options.tls_server_name, watched, seeds)

    @classmethod
    def of_client(cls, client: Any) -> Address:
        """Where a ready `redis.asyncio.Redis` connects to; connections of our own are made with its arguments."""
        pool = client.connection_pool
        arguments = {name: value for name, value in pool.connection_kwargs.items() if name not in _OURS}
        where = arguments.get("path") or f"{arguments.get('host', 'localhost')}:{arguments.get('port', PORT)}"
        return cls(f"redis at {where}", pool.connection_class, arguments)

    def at(self, host: str, port: int) -> Address:
        """A node of this cluster."""
        arguments = {**self.arguments, "host": host, "port": port}
        return replace(self, where=f"redis node {host}:{port}", arguments=arguments, seeds=())

    async def connection(self, patience: float) -> AbstractConnection:
        """One that repeats nothing by itself, and leaves it to its owner how long to wait for an answer.

        Raises:
            ConfigurationError: a file of certificates cannot be used.
        """
        if self.watched is None:
            return await self._make(self.arguments, patience)
        host, port = await self.watched.ask(self._to_sentinel, patience)
        return await self._make({**self.arguments, "host": host, "port": port}, patience)

    async def _to_sentinel(self, host: str, port: int, patience: float) -> AbstractConnection:
        # Sentinels have users of their own, if any: the server's password is not shown to them.
        login = {"username": None, "password": None, "db": 0}
        return await self._make({**self.arguments, **login, "host": host, "port": port}, patience)

    async def _make(self, arguments: Mapping[str, Any], patience: float) -> AbstractConnection:
        made = self.kind(
            **arguments,
            **_SILENT,
            socket_timeout=None,
            socket_connect_timeout=patience,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            protocol=2,
            decode_responses=False,
        )
        if isinstance(made, SSLConnection):
            try:
                await asyncio.to_thread(made.ssl_context.get)  # reads files, and keeps what it has made
            except (OSError, RedisError) as error:
                raise ConfigurationError(
                    f"{self.where}: tls_ca, tls_cert or tls_key cannot be used: {error}. Nothing was sent. Name files "
                    "in PEM form that this user can read."
                ) from error
        if isinstance(made, _NamedSSLConnection):
            made.server_name = self.server_name
        return made


# A client need not introduce itself: that costs a round trip, and reads the installed packages.
_SILENT: Final[Mapping[str, Any]] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection).parameters
    else {"lib_name": None, "lib_version": None}
)
_OURS: Final = frozenset(
    {
        "socket_timeout",
        "socket_connect_timeout",
        "retry",
        "retry_on_error",
        "retry_on_timeout",
        "health_check_interval",
        "protocol",
        "decode_responses",
        "encoding",
        "encoding_errors",
        "maint_notifications_config",
        "maint_notifications_pool_handler",
        "oss_cluster_maint_notifications_handler",
        "event_dispatcher",
        "himport_registry",
        "parser_class",
        "legacy_responses",
        "driver_info",
        "lib_name",
        "lib_version",
    }
)


def _watched(url: BrokerUrl, options: RedisOptions) -> Watched | None:
    if options.sentinel is None:
        return None
    if not url.hosts:
        raise ConfigurationError("redis: sentinel= needs hosts: redis://one:26379,other:26379/0?sentinel=name")
    return Watched(options.sentinel, tuple((name, at or SENTINEL_PORT) for name, at in url.hosts))


def _seeds(url: BrokerUrl, options: RedisOptions) -> tuple[tuple[str, int], ...]:
    if not options.cluster:
        return ()
    if _database(url.path):
        raise ConfigurationError(f"redis: a cluster has one database, 0, and not {url.path}")
    return tuple((name, at or PORT) for name, at in url.hosts or (("localhost", None),))


def _database(path: str) -> int:
    if not path:
        return 0
    if not path.isdecimal():
        raise ConfigurationError(f"redis: the path /{path} is no number of a database; write redis://host:6379/0")
    return int(path)

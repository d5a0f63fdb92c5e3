"""What can be set, by URL or by keyword; the README lists it with units and defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from waybill.errors import ConfigurationError
from waybill.timing import ZERO

_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """The options of a driver, checked."""

    lease: timedelta = timedelta(seconds=60)
    """How long a delivery belongs to its receiver."""
    timeout: timedelta = timedelta(seconds=10)
    """How long a verb may take."""
    prefix: str = "waybill"
    """What every key begins with."""
    look: timedelta = timedelta(seconds=2)
    """How often a waiting receive looks by itself, should the process that was woken in its place have died."""
    wait_replicas: int = 0
    """How many replicas must have a message before its enqueue is confirmed."""
    wait_fsync: bool = False
    """Whether a message must be on the server's disk before its enqueue is confirmed, also with everysec."""
    allow_eviction: bool = False
    """Whether to use a server that may throw keys away when its memory is full."""
    socket: str | None = None
    """The path of a Unix socket, in place of a host."""
    sentinel: str | None = None
    """The name of the master that the hosts of the URL, which are Sentinels then, watch over."""
    cluster: bool = False
    """Whether the hosts of the URL are nodes of a Redis Cluster."""
    tls_ca: str | None = None
    """A file of certificates that are trusted, in place of the system's."""
    tls_cert: str | None = None
    """This client's certificate."""
    tls_key: str | None = None
    """This client's private key."""
    tls_server_name: str | None = None
    """The name in the server's certificate, where it is not the host's."""
    tls_verify: bool = True
    """Whether the server's certificate is verified."""

    def __post_init__(self) -> None:
        for name in ("lease", "timeout", "look"):
            if getattr(self, name) <= ZERO:
                raise ConfigurationError(f"redis: {name} must be longer than nothing, for example {name}=10s")
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigurationError(
                f"redis: prefix={self.prefix!r} must be 1 to 64 letters, digits, '_', '.', ':', '/' or '-'"
            )
        if self.wait_replicas < 0:
            raise ConfigurationError(f"redis: wait_replicas={self.wait_replicas} is no number of replicas")
        if self.socket is not None and self.sentinel is not None:
            raise ConfigurationError("redis: socket= and sentinel= exclude each other; remove one")
        if self.cluster and (self.socket is not None or self.sentinel is not None):
            raise ConfigurationError("redis: cluster=true goes with neither socket= nor sentinel=; remove one")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigurationError("redis: tls_cert and tls_key go together: give both, or neither")

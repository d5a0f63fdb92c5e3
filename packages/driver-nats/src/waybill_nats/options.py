"""What can be set, by URL or by keyword; the README lists it with units and defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from waybill.errors import ConfigurationError
from waybill.timing import ZERO

_RANGES: Final = {"priorities": (1, 10), "replicas": (1, 5), "max_jobs": (0, 2**53), "max_bytes": (0, 2**53)}
_APART: Final = (("creds", "nkey"),)
_SUBJECT: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """The options of a driver, checked."""

    lease: timedelta = timedelta(seconds=60)
    """How long a delivery belongs to its receiver; it is stored with the queues."""
    timeout: timedelta = timedelta(seconds=10)
    """How long a verb may take."""
    priorities: int = 3
    """How many levels there are; it is stored with the queues."""
    change: bool = False
    """Whether a stored lease is replaced by this one."""
    replicas: int = 1
    """On how many servers of a cluster each job is kept."""
    dedup_window: timedelta = timedelta(minutes=2)
    """How long an id is remembered."""
    max_jobs: int = 0
    """How many messages a queue takes before it refuses more; 0: any number."""
    max_bytes: int = 0
    """How many bytes a queue takes before it refuses more; 0: any number."""
    create: Literal["auto", "never"] = "auto"
    """Whether streams and consumers that are missing are made."""
    scheduler: Literal["auto", "native", "park"] = "auto"
    """Who watches over delays: the server, or a consumer in which delayed messages are parked."""
    ack: Literal["confirm", "fast"] = "confirm"
    """Whether an ack waits until the server has it."""
    creds: str | None = None
    """A file with the user's JWT and seed."""
    nkey: str | None = None
    """A file with the user's seed."""
    inbox_prefix: str = "_INBOX"
    """What the subjects of answers begin with."""
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
        for name in ("lease", "timeout", "dedup_window"):
            if getattr(self, name) <= ZERO:
                raise ConfigurationError(f"nats: {name} must be longer than nothing, for example {name}=10s")
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigurationError(f"nats: {name}={getattr(self, name)} must be {least} to {most:,}")
        for one, other in _APART:
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ConfigurationError(f"nats: {one}= and {other}= exclude each other; remove one")
        if self.scheduler == "native" and self.limited:
            raise ConfigurationError(
                "nats: scheduler=native and max_jobs= or max_bytes= exclude each other: a NATS stream with schedules "
                "drops its oldest job at a limit. Remove one of them, or take scheduler=park"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigurationError("nats: tls_cert and tls_key go together: give both, or neither")
        if not _SUBJECT.fullmatch(self.inbox_prefix):
            raise ConfigurationError(f"nats: inbox_prefix={self.inbox_prefix!r} is no subject; for example _INBOX_shop")

    @property
    def limited(self) -> bool:
        """Whether a queue may be full."""
        return bool(self.max_jobs or self.max_bytes)

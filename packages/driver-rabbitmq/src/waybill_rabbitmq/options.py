"""What can be set, by URL or by keyword; the README lists it with units and defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from waybill.errors import ConfigurationError

_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}|")
_MOST_PRIORITY: Final = 9
_MOST_PREFETCH: Final = 65_535
_MOST_LEVELS: Final = 40
_LONGEST_TTL: Final = timedelta(days=3650)
"""What the server takes for a time to live."""


@dataclass(frozen=True, slots=True)
class RabbitMQOptions:
    """The options of a driver, checked."""

    timeout: timedelta = timedelta(seconds=10)
    """How long a verb may take."""
    prefix: str = "waybill"
    """What the names of queues begin with, before a dot; empty: a queue has the name that jobs give it."""
    queue_type: Literal["quorum", "classic"] = "quorum"
    """What kind of queues jobs wait in."""
    declare: Literal["create", "passive", "none"] = "create"
    """Whether queues are made when they are needed, looked for, or taken to be there."""
    delivery_limit: int = 20
    """After so many deliveries whose holder vanished the server gives a message up by itself (quorum)."""
    max_priority: int = 0
    """The highest priority, 1 to 9; 0: none (classic)."""
    delay_unit: timedelta = timedelta(milliseconds=100)
    """The shortest delay; every other one is rounded up to a multiple of it."""
    delay_levels: int = 32
    """How many queues delays are made of: each doubles the longest one."""
    consumer_timeout: timedelta | None = None
    """How long the server lets a message be held; None: its own default of 30 minutes."""
    prefetch: int = 0
    """The most messages of a queue that are pushed to this process; 0: as many as are asked for."""
    single_active_consumer: bool = False
    """Whether one process at a time receives a queue's messages, and the others stand by."""
    heartbeat: timedelta = timedelta(seconds=60)
    """After twice this time without a sign of life a connection counts as lost, here and there."""
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

    @property
    def levels(self) -> int:
        """How many levels there are: no queue lets a message wait for longer than ten years."""
        return min(self.delay_levels, (_LONGEST_TTL // self.delay_unit).bit_length())

    def __post_init__(self) -> None:
        for wrong, told in self._mistakes():
            if wrong:
                raise ConfigurationError(f"rabbitmq: {told}")

    def _mistakes(self) -> Iterator[tuple[bool, str]]:
        """What could be wrong with them, and whether it is."""
        for name in ("timeout", "delay_unit", "consumer_timeout"):
            value = getattr(self, name)
            short = value is not None and value < timedelta(milliseconds=1)
            yield short, f"{name} must be longer than nothing, for example {name}=10s"
        yield self.heartbeat < timedelta(seconds=1), "heartbeat is at least 1s, for example heartbeat=60s"
        yield (
            not _PREFIX.fullmatch(self.prefix),
            f"prefix={self.prefix!r} must be up to 64 letters, digits, '_', '.' or '-', the first a letter or digit",
        )
        yield (
            self.delivery_limit < 1,
            f"delivery_limit={self.delivery_limit} must be at least 1: older servers drop jobs at 0 or -1",
        )
        yield (
            not 0 <= self.max_priority <= _MOST_PRIORITY,
            f"max_priority={self.max_priority} must be from 0 (none) to {_MOST_PRIORITY}",
        )
        yield (
            self.max_priority > 0 and self.queue_type == "quorum",
            "max_priority needs queue_type=classic: quorum queues keep no strict order of priorities",
        )
        yield (
            not 0 <= self.prefetch <= _MOST_PREFETCH,
            f"prefetch={self.prefetch} must be from 0 (no limit) to {_MOST_PREFETCH}",
        )
        yield (
            not 1 <= self.delay_levels <= _MOST_LEVELS,
            f"delay_levels={self.delay_levels} must be from 1 to {_MOST_LEVELS}",
        )
        yield (
            bool(self.delay_unit % timedelta(milliseconds=1)) or self.delay_unit > timedelta(days=1),
            "delay_unit must be whole milliseconds and at most a day, for example delay_unit=100ms",
        )
        yield (
            (self.tls_cert is None) != (self.tls_key is None),
            "tls_cert and tls_key go together: give both, or neither",
        )

"""What can be set, by URL or by keyword; the README lists it with units and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from waybill.errors import ConfigurationError
from waybill.timing import ZERO

_CHOICES: Final = {"durability": ("full", "normal"), "wake": ("auto", "socket", "poll")}


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """The options of a driver, checked."""

    durability: Literal["full", "normal"] = "full"
    """"full" survives a power cut, "normal" the end of any process."""
    lease: timedelta = timedelta(seconds=60)
    """How long a delivery belongs to its receiver."""
    timeout: timedelta = timedelta(seconds=10)
    """How long a verb may take."""
    wake: Literal["auto", "socket", "poll"] = "auto"
    """How a waiting receive learns of other processes' jobs; "auto" is a socket where that works."""
    poll: timedelta = timedelta(milliseconds=20)
    """How often it looks where there is no socket."""
    gate: bool = True
    """Whether writers of all processes queue up at a lock of their own before SQLite's."""
    cache_mb: int = 16
    """SQLite's page cache, in MiB."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigurationError(f"sqlite: {name}={getattr(self, name)!r} is none of {', '.join(choices)}")
        for name in ("lease", "timeout", "poll"):
            if getattr(self, name) <= ZERO:
                raise ConfigurationError(f"sqlite: {name} must be longer than nothing, for example {name}=10s")
        if self.cache_mb < 1:
            raise ConfigurationError(f"sqlite: cache_mb={self.cache_mb} is no number of MiB; 16 is the default")

"""What a driver claims, read once from an open one, and what counts as claiming something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any, Final

from waybill.driver import OPTIONAL, Capabilities, QueueDriver, claims

from .wording import spoken

CONDUCT: Final = (
    "declaration",
    "delivery",
    "settling",
    "concurrency",
    "payload",
    "lifecycle",
    "cancellation",
    "recovery",
    "worker",
)
"""What every driver must do, whatever it claims; each is a row of the ledger too."""

_EMPTY: Final[Mapping[str, Any]] = {
    "max_batch": 1,
    "parallel_batches": 1,
    "durability": "process",
    "idempotent_enqueue": None,
    "exact_attempts": False,
    "ordering": "none",
    "priorities": 1,
    "max_run": None,
    "purge": None,
    "dead_browse": None,
}
"""The value of a capability that promises nothing."""

BEYOND_REACH: Final = {
    "host-fsync": "survives the kill of its processes; whether it survives a power cut no harness can tell",
    "replicated": "survives the kill of its server; whether it survives the loss of a machine no harness can tell",
}
"""Levels of durability that can be declared and not proven, with what was."""


@dataclass(frozen=True)
class Summary:
    """A driver's claims as text, for the ledger; it travels between processes as JSON."""

    driver: str
    version: str
    powers: list[str]
    values: dict[str, str]
    """By row of the ledger; "" for conduct."""
    offered: list[str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Claims:
    """All that one driver says of itself."""

    driver: str
    """Module and class."""
    values: Mapping[str, Any]
    """{name of an optional protocol: whether its verbs are there; name of a capability: its value}"""
    capabilities: Capabilities
    powers: frozenset[str]

    @classmethod
    def of(cls, driver: QueueDriver, powers: frozenset[str]) -> Claims:
        kind = type(driver)
        return cls(
            driver=f"{kind.__module__}.{kind.__qualname__}",
            values=dict(claims(driver)),
            capabilities=driver.capabilities,
            powers=powers,
        )

    def offers(self, name: str) -> bool:
        """Whether anything is claimed under this name."""
        if name in CONDUCT:
            return True
        value = self.values[name]
        if name == "unique":
            return bool(value.scopes)
        if name in _EMPTY:
            return bool(value != _EMPTY[name])
        return value is not False

    def summary(self) -> Summary:
        return Summary(
            self.driver,
            _version(self.driver.partition(".")[0]),
            sorted(self.powers),
            {name: _shown(name, self.values.get(name)) for name in names()},
            [name for name in names() if self.offers(name)],
        )

    def __getattr__(self, name: str) -> Any:
        """The value of a capability: `claims.lease`."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.capabilities, name)


def names() -> Iterator[str]:
    """Every row of the ledger: optional protocols, capabilities, conduct."""
    yield from (protocol.__name__ for protocol in OPTIONAL)
    yield from (field.name for field in fields(Capabilities))
    yield from CONDUCT


def _version(package: str) -> str:
    from importlib.metadata import packages_distributions, version

    found = packages_distributions().get(package)
    return version(found[0]) if found else ""


def _shown(name: str, value: Any) -> str:
    """The claimed value as a person reads it."""
    if name in CONDUCT:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "unique":
        if not value.scopes:
            return "no"
        return f"{', '.join(sorted(value.scopes))}; {'reported' if value.reported else 'dropped silently'}"
    if value is None:
        return _NONE.get(name, "no")
    if isinstance(value, timedelta):
        if name == "idempotent_enqueue" and not value:
            return "while stored"
        return spoken(value)
    if name == "max_message_bytes":
        return f"{value:,} bytes"
    return str(value)


_NONE: Final = {
    "max_message_bytes": "any",
    "max_delay": "any",
    "max_nack_delay": "any",
    "lease": "the connection's",
    "max_run": "any",
}
"""What None means where it does not mean "no"."""

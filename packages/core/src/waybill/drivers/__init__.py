"""From a URL to the driver that serves it, importing that driver's package and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..driver import QueueDriver
from ..errors import ConfigurationError, DriverNotFoundError
from ..url import BrokerUrl

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "waybill.drivers"

_PACKAGES = {
    "sqlite": "waybill-sqlite",
    "redis": "waybill-redis",
    "rediss": "waybill-redis",
    "amqp": "waybill-rabbitmq",
    "amqps": "waybill-rabbitmq",
    "nats": "waybill-nats",
    "tls+nats": "waybill-nats",
    "sqs": "waybill-sqs",
}


def installed_drivers() -> dict[str, list[EntryPoint]]:
    """The entry points of every installed driver by scheme; nothing is imported."""
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for each in entry_points(group=GROUP):
        known = found.setdefault(each.name, [])
        if all(_package(each) != _package(other) for other in known):
            known.append(each)
    return found


def open_driver(url: str) -> QueueDriver:
    """The driver for *url*, not yet connected.

    The entry point's object is called with the URL; where it has a `from_url`, that gets a parsed `BrokerUrl`.

    Raises:
        DriverNotFoundError: no installed package serves the scheme.
        ConfigurationError: the URL is malformed, has an unknown option, or two packages serve its scheme.
    """
    parsed = BrokerUrl.parse(url)
    installed = installed_drivers()
    candidates = installed.get(parsed.scheme, [])
    if not candidates:
        package = _PACKAGES.get(parsed.scheme, f"waybill-{parsed.scheme}")
        raise DriverNotFoundError(parsed.scheme, sorted(installed), package)
    if len(candidates) > 1:
        names = " and ".join(sorted(_package(each) for each in candidates))
        raise ConfigurationError(f"'{parsed.scheme}://' is served by {names}; uninstall all but one")
    try:
        factory = candidates[0].load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"'{parsed.scheme}://' is served by {_package(candidates[0])}, which cannot be imported: {error}"
        ) from error
    from_url = getattr(factory, "from_url", None)
    return cast("QueueDriver", factory(url) if from_url is None else from_url(parsed))


def _package(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist else entry_point.value

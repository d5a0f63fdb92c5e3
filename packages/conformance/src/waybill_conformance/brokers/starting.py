"""How a broker is come by: the first way that works."""

import atexit
import dataclasses
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

from . import container
from .broker import Broker
from .errors import BrokerMissingError, BrokerStartError
from .kind import BrokerKind
from .nats import Nats
from .ports import refuses
from .process import ProcessServer
from .rabbitmq import RabbitMq
from .redis import Redis
from .remote import RemoteServer
from .server import How, Server, wait_until_ready
from .sqs import MiniStack, Sqs

KINDS: Final[Mapping[str, type[BrokerKind]]] = MappingProxyType(
    {name: kind for kind in (Redis, RabbitMq, Nats, Sqs, MiniStack) for name in (kind.name, *kind.schemes)}
)
"""By name and by scheme; any other kind is given to `start` itself."""

ATTEMPTS = 3
WAY: Final = "WAYBILL_BROKERS"
"""Where the environment may allow one way alone."""


def start(kind: str | BrokerKind, *, how: How | None = None, **settings: object) -> Broker:
    """A broker that serves: from WAYBILL_<NAME>_URL, else a container, else a server program, else its package.

    `how` allows one way alone, else WAYBILL_BROKERS does. The settings are the fields of the kind, such as `image`,
    which else is WAYBILL_<NAME>_IMAGE's.
    """
    how = how or cast("How | None", os.environ.get(WAY))
    if isinstance(kind, str):
        kind = named(kind, settings)
    elif settings:
        raise TypeError(
            f"the settings of a {type(kind).__name__} are given to itself, not to start: {sorted(settings)}"
        )
    if how not in {None, "url", "container", "process"}:
        raise ValueError(f'how, or {WAY}, is "url", "container" or "process", not {how!r}')
    kind = with_image(kind)
    tried: list[str] = []
    ways: dict[How, Callable[[BrokerKind, list[str]], Broker | None]] = {
        "url": from_url,
        "container": from_container,
        "process": from_process,
    }
    for name, way in ways.items():
        if how in {None, name} and (broker := way(kind, tried)):
            atexit.register(broker.stop)
            return broker
    raise BrokerMissingError(kind.name, tried, cure(kind))


def reach(kind: str | BrokerKind, url: str) -> Broker:
    """A broker that runs already, and goes on running, behind a proxy of one's own."""
    kind = named(kind, {}) if isinstance(kind, str) else kind
    return Broker(kind, RemoteServer("another process", kind.address(url) or ("", 0)), url=url)


def named(name: str, settings: Mapping[str, object]) -> BrokerKind:
    """The kind of that name or scheme."""
    if name not in KINDS:
        raise ValueError(f"no broker is called {name!r}: there are {', '.join(sorted(KINDS))}, or give a BrokerKind")
    known = [field.name for field in dataclasses.fields(KINDS[name])]
    if unknown := settings.keys() - set(known):
        raise TypeError(f"{name} has no setting {', '.join(sorted(unknown))}: it has {', '.join(known)}")
    return KINDS[name](**settings)  # type: ignore[arg-type] # each kind has fields of its own


def with_image(kind: BrokerKind) -> BrokerKind:
    """The kind with the image that the environment names, unless it has one of its own already."""
    image = os.environ.get(variable(kind, "IMAGE"))
    usual = {field.name: field.default for field in dataclasses.fields(kind)}["image"]
    return dataclasses.replace(kind, image=image) if image and kind.image == usual else kind


def variable(kind: BrokerKind, what: str = "URL") -> str:
    """Where the environment may name a server that runs already, or an image."""
    return f"WAYBILL_{kind.name.upper().replace('-', '_')}_{what}"


def cure(kind: BrokerKind) -> str:
    """How a reader gets this broker."""
    ways = [f"set {variable(kind)}"]
    if kind.image:
        ways.append(f"start Docker, with the image {kind.image}, and install waybill-conformance[containers]")
    ways.append(kind.cure or f"install {kind.package or kind.program}")
    return ", or ".join(ways)


def from_url(kind: BrokerKind, tried: list[str]) -> Broker | None:
    """The server named by the environment."""
    url = os.environ.get(variable(kind))
    if not url:
        tried.append(f"{variable(kind)} is not set")
        return None
    address = kind.address(url)
    server = RemoteServer(variable(kind), address or ("", 0))
    if address and refuses(*address):
        raise BrokerStartError(f"Nobody listens at {address[0]}:{address[1]}, which {variable(kind)} names.")
    return Broker(kind, server, url=url)


def from_container(kind: BrokerKind, tried: list[str]) -> Broker | None:
    """A container of the kind's image."""
    if missing := container.missing(kind.image):
        tried.append(missing)
        return None
    return serving(kind, lambda: container.ContainerServer(kind))


def from_process(kind: BrokerKind, tried: list[str]) -> Broker | None:
    """A server program of this machine, installed if need be."""
    program = kind.find()
    if program is None:
        tried.append(f"no module {kind.module}" if kind.module else f"no program {kind.program}")
        source = kind.requirement or kind.package
        if not source:
            return None
        if failure := kind.install():
            tried.append(failure)
            return None
        program = kind.find()
        if program is None:
            tried.append(f"{source}: installed, but it brings no {kind.program}")
            return None
    return serving(kind, lambda: ProcessServer(kind, program))


def serving(kind: BrokerKind, make: Callable[[], Server]) -> Broker:
    """A broker on a server that is ready; nothing is left behind if it does not get there."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            server = make()
            try:
                wait_until_ready(kind, server)
                return Broker(kind, server)
            except BaseException:
                server.stop()
                raise
        except BrokerStartError as error:
            if not error.died or attempt == ATTEMPTS:
                raise  # else: its free port may have been taken before the server bound it
    raise AssertionError

"""The brokers that are measured: who competes on them, and how their server is started, looked at and emptied."""

from __future__ import annotations

import contextlib
import json
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from waybill_conformance.brokers import Broker, start

from .contender import Place


@dataclass(frozen=True)
class Setup:
    """One broker."""

    contenders: tuple[str, ...]
    """Modules of `contenders/`; Waybill is the first."""
    kind: str = ""
    """For `waybill_conformance.brokers.start`, if it is not the broker's name."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Beside the kind."""
    empty: Callable[[str], object] | None = None
    """Remove what a measurement has left in the server at that URL, where names of its own are not enough."""
    memory: Callable[[str], int] | None = None
    """Bytes that the server uses for data, where it tells."""
    version: Callable[[str], str] | None = None
    """Of the server, with the settings that matter."""


def _ask_redis(url: str, *command: str) -> str:
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 6379), timeout=60) as connection:
        connection.sendall(f"{' '.join(command)}\r\n".encode())
        with connection.makefile("rb") as answer:
            head = answer.readline().decode()
            return head if head[0] != "$" else answer.read(int(head[1:])).decode()


def _info_of_redis(url: str, section: str, name: str) -> str:
    lines = _ask_redis(url, "INFO", section).splitlines()
    return next(value for key, _, value in (line.partition(":") for line in lines) if key == name)


def _version_of_rabbitmq(url: str) -> str:
    from pika import BlockingConnection, URLParameters

    connection = BlockingConnection(URLParameters(url))
    told = connection._impl.server_properties["version"]
    connection.close()
    return f"RabbitMQ {told}, one node"


def _version_of_nats(url: str) -> str:
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 4222), timeout=60) as connection:
        return str(json.loads(connection.makefile("rb").readline().partition(b" ")[2])["version"])


BROKERS = {
    "sqlite": Setup(("waybill", "raw_sqlite", "raw_sqlite_message", "huey")),
    "redis": Setup(
        ("waybill", "raw_redis", "repid", "taskiq", "saq", "dramatiq", "celery"),
        settings={"fsync": "everysec"},
        empty=lambda url: _ask_redis(url, "FLUSHALL"),
        memory=lambda url: int(_info_of_redis(url, "memory", "used_memory")),
        version=lambda url: f"Redis {_info_of_redis(url, 'server', 'redis_version')}, AOF everysec",
    ),
    "rabbitmq": Setup(
        ("waybill", "raw_rabbitmq", "taskiq_rabbitmq", "dramatiq", "dramatiq_default", "celery", "celery_default"),
        version=_version_of_rabbitmq,
    ),
    "nats": Setup(
        ("waybill", "raw_nats", "taskiq_nats", "taskiq_nats_default"),
        version=lambda url: f"NATS {_version_of_nats(url)}, files, default sync_interval",
    ),
    "sqs": Setup(
        ("waybill", "raw_sqs", "celery"),
        kind="ministack",
        version=lambda _: "MiniStack 1.5.33, an emulator of AWS in one process",
    ),
}


@contextlib.contextmanager
def running(broker: str) -> Iterator[Broker | None]:
    """The server, if it has one; it ends with the run."""
    if broker == "sqlite":
        yield None
        return
    with start(BROKERS[broker].kind or broker, **BROKERS[broker].settings) as server:
        yield server


def place(broker: str, server: Broker | None, folder: str) -> Place:
    """A fresh place for one measurement."""
    name = f"b{uuid.uuid4().hex[:8]}"
    if server is None:
        return Place(broker, f"sqlite:///{folder}/jobs.db", name, folder)
    if (empty := BROKERS[broker].empty) is not None:
        empty(server.direct_url)
    return Place(broker, server.direct_url, name, folder)


def used_memory(place: Place) -> int | None:
    """Bytes that the server uses for data; None where it does not tell."""
    memory = BROKERS[place.broker].memory
    return None if memory is None else memory(place.url)

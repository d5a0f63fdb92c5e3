"""Operations by namespace: nine kinds of job whose payloads have known keys, as Ductape names them.

    notify = define_operation("notifications", handler=send, retry=3)
    service = JobService(url, jobs=[notify])
    await service.ops.notifications.dispatch(
        {"env": "prd", "product": "shop", "notification": "mail", "event": "welcome", "input": {...}},
        schedule=Schedule(every="7d", limit=4),
    )

Each is a plain job named like its namespace. Where only sending is done here it needs no definition: a declaration with
the same keys is registered by its first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from typing_extensions import TypedDict

from ..errors import ConfigurationError
from .define import define_job
from .job import Job


class Operation(TypedDict):
    """What every one has: where it belongs, and its input."""

    env: str
    product: str
    input: dict[str, Any]


class ActionOperation(Operation):
    """An action of another application."""

    app: str
    event: str


class FeatureOperation(Operation):
    """A feature, by its tag."""

    tag: str


class NotificationOperation(Operation):
    """A notification to people."""

    notification: str
    event: str


class StorageOperation(Operation):
    """Something done to stored files."""

    storage: str
    event: str


class EventOperation(Operation):
    """A message to a broker."""

    broker: str
    event: str


class DatabaseActionOperation(Operation):
    """A named action of a database."""

    database: str
    event: str


class DatabaseOperation(Operation):
    """An operation on a database."""

    database: str
    operation: str


class GraphActionOperation(Operation):
    """A named action of a graph."""

    graph: str
    event: str


class GraphOperation(Operation):
    """An operation on a graph."""

    graph: str
    operation: str


NAMESPACES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "actions": ActionOperation,
        "features": FeatureOperation,
        "notifications": NotificationOperation,
        "storage": StorageOperation,
        "events": EventOperation,
        "databases": DatabaseOperation,
        "databases.action": DatabaseActionOperation,
        "graphs": GraphOperation,
        "graphs.action": GraphActionOperation,
    }
)
"""What the payload of each has."""


def define_operation(
    namespace: str, handler: Callable[..., Any] | None = None, *, name: str | None = None, **options: Any
) -> Job[Any, Any]:
    """Define the job of a namespace.

    Args:
        namespace: one of `NAMESPACES`.
        handler: None: a declaration, which can be sent.
        name: how messages name it; like the namespace by default.
        options: as for `define_job`.

    Raises:
        ConfigurationError: there is no such namespace.
    """
    if namespace not in NAMESPACES:
        raise ConfigurationError(f"there is no namespace {namespace!r}; there are {', '.join(NAMESPACES)}")
    return define_job(name=name or namespace, handler=handler, schema=NAMESPACES[namespace], **options)

"""`service.ops`: the jobs of the operation namespaces, each with its own `dispatch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from typing_extensions import Unpack

from ..jobs.job import DispatchOptions
from ..jobs.operations import (
    ActionOperation,
    DatabaseActionOperation,
    DatabaseOperation,
    EventOperation,
    FeatureOperation,
    GraphActionOperation,
    GraphOperation,
    NotificationOperation,
    StorageOperation,
    define_operation,
)

if TYPE_CHECKING:
    from ..result import EnqueueResult
    from .service import JobService

P = TypeVar("P")
A = TypeVar("A")


class OperationNamespace(Generic[P]):
    """One namespace of one service."""

    def __init__(self, service: JobService, name: str) -> None:
        self._service, self.name = service, name

    async def dispatch(self, payload: P, **options: Unpack[DispatchOptions]) -> EnqueueResult:
        """Send an operation, now or on a schedule; what lacks a key is refused.

        Raises:
            EnqueueError: it was not accepted.
        """
        service = self._service
        if service.registry.find(self.name) is None:
            service.registry.add(define_operation(self.name))
        return await service.dispatch(self.name, payload, **options)


class WithActions(OperationNamespace[P], Generic[P, A]):
    """One that has named actions beside its operations."""

    @property
    def action(self) -> OperationNamespace[A]:
        return OperationNamespace(self._service, f"{self.name}.action")


class Operations:
    """The nine namespaces of a service."""

    def __init__(self, service: JobService) -> None:
        self.actions: OperationNamespace[ActionOperation] = OperationNamespace(service, "actions")
        self.features: OperationNamespace[FeatureOperation] = OperationNamespace(service, "features")
        self.notifications: OperationNamespace[NotificationOperation] = OperationNamespace(service, "notifications")
        self.storage: OperationNamespace[StorageOperation] = OperationNamespace(service, "storage")
        self.events: OperationNamespace[EventOperation] = OperationNamespace(service, "events")
        self.databases: WithActions[DatabaseOperation, DatabaseActionOperation] = WithActions(service, "databases")
        self.graphs: WithActions[GraphOperation, GraphActionOperation] = WithActions(service, "graphs")

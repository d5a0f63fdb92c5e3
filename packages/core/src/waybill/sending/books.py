"""Where a service's schedules are written down: in each broker that keeps state, or all in the store it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..driver import KeepsState
from ..errors import UnsupportedError
from .broker import Broker

if TYPE_CHECKING:
    from ..schedules.book import Book
    from .service import JobService


class Books:
    """The schedule books of a service.

    Args:
        service: whose brokers and namespace.
        store: what was given as `schedules=`; None: each broker keeps the schedules of its own queues.
    """

    def __init__(self, service: JobService, store: Broker | None) -> None:
        self._service, self.store = service, store
        self.began = service.clock.now()
        """What a job's definition declares is counted from here, where it was not known before."""
        self._listeners: set[Callable[[], None]] = set()

    async def of(self, queue: str) -> Book:
        """The book with the schedules of a queue.

        Raises:
            UnsupportedError: there is none; tells the cure.
        """
        from ..schedules.book import Book

        return Book(await self.keeper(queue), self._service.namespace)

    async def keeper(self, queue: str) -> KeepsState:
        """The store beside a queue.

        Raises:
            UnsupportedError: there is none; tells the cure.
        """
        driver = await self._keeper(self.store or self._service.broker_of(queue))
        if driver is not None:
            return driver
        if self.store is not None:
            raise UnsupportedError(f"schedules={self.store} keeps no state; {CURE}. Nothing was stored.")
        raise UnsupportedError(f"this broker has no place for schedules and marks: {CURE}. Nothing was stored.")

    async def all(self) -> list[Book]:
        """Every book there is."""
        from ..schedules.book import Book

        service = self._service
        brokers = [service.broker, *service.brokers.values()] if self.store is None else [self.store]
        found = [await self._keeper(each) for each in brokers]
        return [Book(each, service.namespace) for each in found if each is not None]

    async def _keeper(self, broker: Broker) -> KeepsState | None:
        driver = (await self._service.connect(broker)).driver
        return driver if isinstance(driver, KeepsState) else None

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call *wake*, on any thread, when this service changes a schedule; returns what ends that."""
        self._listeners.add(wake)
        return lambda: self._listeners.discard(wake)

    def changed(self) -> None:
        """This service has changed a schedule."""
        for each in list(self._listeners):
            each()


CURE = "give the service a store for them, such as schedules='sqlite:///schedules.db' or schedules='redis://…'"

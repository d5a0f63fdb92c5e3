"""What an operator does to a queue: look, retry, cancel, purge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from ..driver import (
    Cancels,
    Counts,
    DeadLetter,
    DelayedMessage,
    ListsDelayed,
    ListsQueues,
    Page,
    Purges,
    QueueStats,
    ReadsDeadLetters,
)
from ..errors import UnsupportedError
from ..queues import checked_queue_name
from .connection import Connection

T = TypeVar("T")


class Operator:
    """The optional verbs of one broker, by the application's queue names.

    Each raises UnsupportedError, before any I/O, where the broker does not offer it.
    """

    def __init__(self, connection: Connection, address: Callable[[str], str]) -> None:
        self.connection, self._address_of = connection, address

    def _address(self, queue: str) -> str:
        return self._address_of(checked_queue_name(queue))

    @property
    def lists_queues(self) -> bool:
        return isinstance(self.connection.driver, ListsQueues)

    def _offered(self, protocol: Callable[..., T], what: str) -> T:
        # As a callable: mypy refuses a protocol where a type is asked for.
        if not isinstance(self.connection.driver, cast("type", protocol)):
            raise UnsupportedError(f"this broker cannot {what}; nothing was changed")
        return cast("T", self.connection.driver)

    async def cancel(self, queue: str, job_id: str) -> bool:
        return await self._offered(Cancels, "cancel a waiting job").cancel(self._address(queue), job_id)

    async def stats(self, queue: str) -> QueueStats:
        return await self._offered(Counts, "count its messages").stats(self._address(queue))

    async def queues(self) -> Sequence[str]:
        """The broker's queues, as the application names them."""
        names = await self._offered(ListsQueues, "list its queues").queues()
        prefix = self._address_of("")
        return [each.removeprefix(prefix) for each in names if each.startswith(prefix)]

    async def delayed(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DelayedMessage]:
        driver = self._offered(ListsDelayed, "list delayed jobs")
        return await driver.list_delayed(self._address(queue), after=after, limit=limit)

    async def dead_letters(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        driver = self._offered(ReadsDeadLetters, "list dead letters")
        return await driver.list_dead(self._address(queue), after=after, limit=limit)

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        return await self._offered(ReadsDeadLetters, "retry dead letters").retry_dead(self._address(queue), ids)

    async def purge_dead(self, queue: str) -> int | None:
        return await self._offered(ReadsDeadLetters, "purge dead letters").purge_dead(self._address(queue))

    async def purge(self, queue: str, *, force: bool = False) -> int | None:
        driver = self._offered(Purges, "purge a queue")
        if self.connection.capabilities.purge == "lossy" and not force:
            raise UnsupportedError(
                "purging this broker takes a while and may take jobs sent meanwhile with it; "
                "nothing was changed. Say force=True if that is acceptable"
            )
        return await driver.purge(self._address(queue), force=force)

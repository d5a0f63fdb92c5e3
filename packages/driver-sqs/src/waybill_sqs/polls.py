"""One queue that is received from: the polls that are under way, and who waits for what they bring.

A long poll cannot be ended before its time: SQS may have chosen a message for it already. One whose receiver has gone
therefore serves the next receiver; what it brings while there is none goes back at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from waybill.driver import Delivery
from waybill.errors import DriverClosedError

from .arrivals import Arrivals
from .aws import Aws
from .failures import EXPECTED, is_missing
from .holding import Receipt
from .names import LATER, Place
from .records import ATTRIBUTES, REASON, Record

_MOST: Final = 10
_logger: Final = logging.getLogger("waybill.sqs")


@dataclass(eq=False, slots=True)
class Order:
    """A receive that is under way."""

    limit: int
    found: list[Delivery] = field(default_factory=list)
    error: Exception | None = None
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever there is something to look at."""
    closed: bool = False

    @property
    def room(self) -> int:
        """How many it still takes."""
        return 0 if self.closed else self.limit - len(self.found)

    def take(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Take what there is room for; the rest."""
        room = max(self.room, 0)
        self.found += deliveries[:room]
        if deliveries and room:
            self.stirred.set()
        return deliveries[room:]

    def fail(self, error: Exception) -> None:
        """Let it end with an error, unless it has something to return."""
        self.error = self.error or error
        self.stirred.set()


class Source:
    """A queue of SQS's, as one open driver receives from it."""

    def __init__(self, aws: Aws, arrivals: Arrivals, place: Place, url: str, forget: Callable[[str], None]) -> None:
        self._aws, self._arrivals, self._forget = aws, arrivals, forget
        self.place, self.url = place, url
        self.orders: list[Order] = []
        """Those that wait."""
        self.waiting = 0
        """Long polls under way."""
        self.tasks: set[asyncio.Task[Any]] = set()
        # Of a FIFO queue one call could bring many of one group, of which one may run: the others would go back with
        # an attempt spent.
        self.most = 1 if aws.options.fifo and place.part != LATER else _MOST

    def poll(self, size: int, seconds: int, order: Order | None = None) -> asyncio.Task[int]:
        """Ask once; the task's result is how many came. *order* is served first, and learns what goes wrong."""
        self.waiting += bool(seconds)
        task = self._start(self._poll(max(min(size, self.most), 1), seconds, order))
        task.add_done_callback(lambda _: self._ended(seconds))
        return task

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Make visible again what nobody was given."""
        if handles := [each.receipt.handle for each in deliveries if isinstance(each.receipt, Receipt)]:
            self._start(self._arrivals.give_back(self.url, handles))

    async def _poll(self, size: int, seconds: int, order: Order | None) -> int:
        lease = self._aws.options.lease
        wanted = {
            "QueueUrl": self.url,
            "MaxNumberOfMessages": size,
            "WaitTimeSeconds": seconds,
            "VisibilityTimeout": int(lease.total_seconds()),
            "MessageSystemAttributeNames": list(ATTRIBUTES),
            "MessageAttributeNames": [REASON],
        }
        try:
            answer = await self._aws.poll(wanted, give_back_in_thread)
        except Exception as error:
            if isinstance(error, EXPECTED) and is_missing(error):
                self._forget(self.url)
            for each in [order] if order else list(self.orders):
                each.fail(error)
            return 0
        records = [Record.of(each) for each in answer.get("Messages", ())]
        if records:
            await self._arrived(records, lease, answer["taken"], order)
        return len(records)

    async def _arrived(self, records: Sequence[Record], lease: timedelta, taken: float, order: Order | None) -> None:
        outcomes = await self._arrivals.admit(self.place, self.url, records, lease, taken)
        left: Sequence[Delivery] = [each for each in outcomes if isinstance(each, Delivery)]
        for each in ([order] if order else []) + self.orders:
            left = each.take(left)
        self.give_back(left)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, DriverClosedError):
            _logger.error("receiving from %s failed in an unforeseen way", self.place.queue, exc_info=error)

    def _ended(self, seconds: int) -> None:
        if seconds:
            self.waiting -= 1
            for each in self.orders:
                each.stirred.set()  # the next poll is due


def give_back_in_thread(client: Any, answer: dict[str, Any]) -> None:
    """The same, where there is no event loop any more."""
    for each in answer.get("Messages", ()):
        client.change_message_visibility(
            QueueUrl=answer["asked"], ReceiptHandle=each["ReceiptHandle"], VisibilityTimeout=0
        )

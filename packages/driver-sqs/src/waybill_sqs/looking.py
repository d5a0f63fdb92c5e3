"""What an operator asks of a queue: how much is in it, which there are, and that it be emptied."""

from __future__ import annotations

import asyncio

from waybill.driver import QueueStats

from .aws import Aws
from .names import DEAD, LATER, Place
from .places import Places
from .sending import Sending

_READY = "ApproximateNumberOfMessages"
_LEASED = "ApproximateNumberOfMessagesNotVisible"
_DELAYED = "ApproximateNumberOfMessagesDelayed"


class Looking:
    """The queues of one open driver, seen from outside."""

    def __init__(self, aws: Aws, places: Places, sending: Sending) -> None:
        self._aws, self._places, self._sending = aws, places, sending

    async def stats(self, queue: str) -> QueueStats:
        """How many are ready and how many are dead, as SQS says, which may be a minute behind.

        A message that was given back for later is invisible, as one is that runs: SQS does not tell them apart.
        """
        waiting = self._waiting(queue)
        *ready, dead = await asyncio.gather(*map(self._count, waiting), self._count(Place(queue, DEAD), hidden=True))
        return QueueStats(ready=sum(ready), delayed=None, leased=None, dead=dead)

    async def queues(self) -> list[str]:
        """The queues that are there, whether or not there is something in them."""
        return sorted({place.queue for place, _ in await self._places.all() if place.part != DEAD})

    async def purge(self, queue: str) -> None:
        """Remove what is there, what is delayed and what runs, within a minute."""
        for place in self._waiting(queue):
            url = await self._places.find(place)
            if url is not None:
                await self._aws.call("purge_queue", QueueUrl=url)
        if self._sending.keys is not None:
            await self._sending.keys.purged(queue)

    def _waiting(self, queue: str) -> list[Place]:
        """Where messages of a queue wait."""
        return [*self._places.main(queue), *([Place(queue, LATER)] if self._aws.options.fifo else [])]

    async def _count(self, place: Place, *, hidden: bool = False) -> int:
        url = await self._places.find(place)
        if url is None:
            return 0
        names = [_READY, _LEASED, _DELAYED] if hidden else [_READY]
        told = await self._aws.call("get_queue_attributes", QueueUrl=url, AttributeNames=names)
        return sum(int(told["Attributes"].get(name, 0)) for name in names)

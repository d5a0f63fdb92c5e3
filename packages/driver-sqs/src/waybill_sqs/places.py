"""Where a queue and its companions are on SQS: looked up once, and made where they may be."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore import exceptions

from .aws import Aws
from .failures import EXPECTED, MissingQueueError, closed, is_missing
from .names import DEAD, FIFO, LATER, Names, Place

RETENTION: Final = 14 * 24 * 3600
"""Seconds; the longest there is. What nobody has received by then is lost."""
TAG: Final = "waybill:queue"
"""On each queue that is made here: its name for the application."""


class Places:
    """The queues of one open driver.

    Args:
        aws: to ask.
        names: what queues are called.
        given: URLs of queues that exist already, by name; a companion's is given under "<queue>.dead",
            "<queue>.later" or "<queue>.p1".
    """

    def __init__(self, aws: Aws, names: Names, given: Mapping[str, str]) -> None:
        self._aws, self._names = aws, names
        self._given = {_place(name): url for name, url in given.items()}
        self._known: dict[Place, asyncio.Future[str]] = {}
        self._arns: dict[str, str] = {}

    def main(self, queue: str) -> Sequence[Place]:
        """The queue itself, and its classes of priority, the most urgent first."""
        urgent = [Place(queue, f"p{level}") for level in range(self._aws.options.priorities - 1, 0, -1)]
        return [*urgent, Place(queue)]

    def place_of(self, name: str) -> Place | None:
        """What a queue of SQS, by its name there, is to the application."""
        for place, url in self._given.items():
            if url.rpartition("/")[2] == name:
                return place
        return self._names.read(name)

    def ready(self, place: Place) -> str | None:
        """The URL of a queue, if it was asked for before."""
        known = self._known.get(place)
        if known is None or not known.done() or known.cancelled() or known.exception() is not None:
            return None
        return known.result()

    async def url(self, place: Place) -> str:
        """The URL of a queue, which is made if it is missing and may be made.

        Raises:
            MissingQueueError: it is missing, and create=never.
            botocore's errors, UnansweredError: it cannot be looked up or made.
        """
        return await self._once(place, make=self._aws.options.create == "auto")

    async def find(self, place: Place) -> str | None:
        """The URL of a queue, if it is there."""
        try:
            return await self._once(place, make=False)
        except MissingQueueError:
            return None

    async def arn(self, url: str) -> str:
        """The ARN of a queue."""
        if url not in self._arns:
            told = await self._aws.call("get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn"])
            self._arns[url] = told["Attributes"]["QueueArn"]
        return self._arns[url]

    @property
    def known(self) -> set[str]:
        """The URLs of the queues that were used."""
        looked_up = [each for each in self._known.values() if each.done() and not each.cancelled()]
        return {*self._given.values(), *(each.result() for each in looked_up if each.exception() is None)}

    def forget(self, url: str) -> None:
        """Look it up anew the next time: it is not there any more."""
        for place, known in list(self._known.items()):
            if known.done() and not known.cancelled() and known.exception() is None and known.result() == url:
                del self._known[place]

    async def _once(self, place: Place, *, make: bool) -> str:
        """One look at a time for each queue; who is cancelled meanwhile takes nobody's answer along."""
        if place in self._given:
            return self._given[place]
        known = self._known.get(place)
        if known is None or (known.done() and (known.cancelled() or known.exception() is not None)):
            known = self._known[place] = asyncio.ensure_future(self._look_up(place, make=make))
            known.add_done_callback(_seen)
        if not known.done():
            await asyncio.wait([known])
        if self._aws.closing:
            raise closed()
        if make and not known.cancelled() and isinstance(known.exception(), MissingQueueError):
            if self._known.get(place) is known:  # somebody had only looked
                del self._known[place]
            return await self._once(place, make=make)
        return known.result()

    async def _look_up(self, place: Place, *, make: bool) -> str:
        name = self._name(place)
        try:
            found = await self._aws.call("get_queue_url", QueueName=name)
        except EXPECTED as error:
            if not is_missing(error):
                raise
            if not make:
                raise MissingQueueError(name) from error
            return await self._make(place, name)
        url: str = found["QueueUrl"]
        return url

    def _name(self, place: Place) -> str:
        """A companion of a given queue is called like that one, with an ending."""
        main = self._given.get(Place(place.queue))
        if main is None:
            return self._names.of(place)
        stem = main.rpartition("/")[2].removesuffix(FIFO)
        return f"{stem}-{place.part}{FIFO if self._aws.options.fifo and place.part != LATER else ''}"

    async def _make(self, place: Place, name: str) -> str:
        options = self._aws.options
        attributes = {
            "MessageRetentionPeriod": str(RETENTION),
            "VisibilityTimeout": str(int(options.lease.total_seconds())),
            "ReceiveMessageWaitTimeSeconds": "20",
        }
        if name.endswith(FIFO):
            attributes |= {"FifoQueue": "true", "DeduplicationScope": "messageGroup"}
            attributes["FifoThroughputLimit"] = "perMessageGroupId"
        if not place.part or place.part.startswith("p"):
            dead = await self.url(Place(place.queue, DEAD))
            policy = {"deadLetterTargetArn": await self.arn(dead), "maxReceiveCount": options.max_receives}
            attributes["RedrivePolicy"] = json.dumps(policy)
        arguments: dict[str, Any] = {"QueueName": name, "Attributes": attributes}
        try:
            made = await self._aws.call("create_queue", **arguments, tags={TAG: place.queue})
        except exceptions.ClientError as error:
            # Another process has made it meanwhile, with other settings: it is used as it is.
            if "Exist" not in error.response.get("Error", {}).get("Code", ""):
                raise
            made = await self._aws.call("get_queue_url", QueueName=name)
        url: str = made["QueueUrl"]
        return url

    async def all(self) -> list[tuple[Place, str]]:
        """Every queue of this application that is there, with its URL."""
        found = dict(self._given)
        token: dict[str, str] = {}
        while True:
            prefix = {"QueueNamePrefix": f"{self._names.prefix}-"} if self._names.prefix else {}
            answer = await self._aws.call("list_queues", MaxResults=1000, **prefix, **token)
            for url in answer.get("QueueUrls", ()):
                place = self._names.read(url.rpartition("/")[2]) or await self._tagged(url)
                if place is not None:
                    found.setdefault(place, url)
            if not answer.get("NextToken"):
                return list(found.items())
            token = {"NextToken": answer["NextToken"]}

    async def _tagged(self, url: str) -> Place | None:
        """What a queue whose name ends in a digest is, which only its tag tells."""
        with contextlib.suppress(*EXPECTED):
            tags = (await self._aws.call("list_queue_tags", QueueUrl=url)).get("Tags", {})
            for part in ("", DEAD, LATER, *(f"p{level}" for level in range(1, 10))):
                place = Place(tags.get(TAG, ""), part)
                if place.queue and self._names.of(place) == url.rpartition("/")[2]:
                    return place
        return None


def _seen(look: asyncio.Future[str]) -> None:
    """An error is told to those who wait; if there is nobody left, that is no fault."""
    if not look.cancelled():
        look.exception()


def _place(name: str) -> Place:
    queue, _, part = name.rpartition(".")
    return (
        Place(queue, part) if queue and part in (DEAD, LATER, *(f"p{level}" for level in range(1, 10))) else Place(name)
    )

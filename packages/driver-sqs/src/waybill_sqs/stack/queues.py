"""The queues of a stack, each with its companions: dead letters, more urgent classes, and what is delayed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ..names import DEAD, FIFO, LATER, Names, Place
from ..places import RETENTION
from .document import Function, Value, arn
from .spec import Stack

_TIMES_THE_FUNCTIONS: Final = 6
"""What AWS advises for a visibility timeout: batches that are throttled are tried again within it."""


class Queues:
    """The queues of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._names = Names(stack.options.prefix, stack.options.fifo)
        self._resources = dict(_resource_names(stack.queues))

    def of_work(self) -> list[Place]:
        """Those that the function gets batches from."""
        options = self._stack.options
        parts = [f"p{level}" for level in range(options.priorities - 1, 0, -1)]
        later = [LATER] if options.fifo else []
        return [Place(queue, part) for queue in self._stack.queues for part in (*parts, "", *later)]

    def all(self) -> list[Place]:
        return [*self.of_work(), *(Place(queue, DEAD) for queue in self._stack.queues)]

    def resource(self, place: Place) -> str:
        """Its name in the template."""
        endings = {"": "Queue", DEAD: "DeadLetters", LATER: "Later"}
        return self._resources[place.queue] + endings.get(place.part, f"Urgent{place.part.removeprefix('p')}")

    def arns(self, places: Sequence[Place]) -> list[Function]:
        return [arn(self.resource(each)) for each in places]

    def resources(self) -> dict[str, Value]:
        return {self.resource(each): self._queue(each) for each in self.all()}

    def _queue(self, place: Place) -> dict[str, Value]:
        name = self._names.of(place)
        properties: dict[str, Value] = {"QueueName": name, "MessageRetentionPeriod": RETENTION}
        if name.endswith(FIFO):
            properties |= {"FifoQueue": True, "DeduplicationScope": "messageGroup"}
            properties |= {"FifoThroughputLimit": "perMessageGroupId"}
        if place.part != DEAD:
            seconds = int(self._stack.timeout.total_seconds())
            properties["VisibilityTimeout"] = seconds * _TIMES_THE_FUNCTIONS
        if place.part not in (DEAD, LATER):
            dead = arn(self.resource(Place(place.queue, DEAD)))
            policy: dict[str, Value] = {
                "deadLetterTargetArn": dead,
                "maxReceiveCount": self._stack.options.max_receives,
            }
            properties["RedrivePolicy"] = policy
        return {"Type": "AWS::SQS::Queue", "Properties": properties}

    def events(self) -> dict[str, Value]:
        """What hands their batches to the function."""
        return {self.resource(each): self._event(each) for each in self.of_work()}

    def _event(self, place: Place) -> dict[str, Value]:
        stack = self._stack
        properties: dict[str, Value] = {
            "Queue": arn(self.resource(place)),
            "BatchSize": stack.batch_size,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        }
        if stack.batch_size > 10:
            properties["MaximumBatchingWindowInSeconds"] = 1
        if stack.max_concurrency is not None:
            properties["ScalingConfig"] = {"MaximumConcurrency": stack.max_concurrency}
        return {"Type": "SQS", "Properties": properties}


def _resource_names(queues: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A template's names have letters and digits only; what would be the same gets a number."""
    taken: set[str] = set()
    for queue in queues:
        stem = name = "".join(each[0].upper() + each[1:] for each in re.findall(r"[A-Za-z0-9]+", queue))
        number = 2
        while name in taken:
            name, number = f"{stem}{number}", number + 1
        taken.add(name)
        yield queue, name

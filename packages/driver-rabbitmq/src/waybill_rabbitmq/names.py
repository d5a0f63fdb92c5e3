"""What things are called on the server, and with which arguments they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from .options import RabbitMQOptions

_MILLISECOND: Final = timedelta(milliseconds=1)
_MANY: Final = 1_000_000
_SAFE: Final[Mapping[str, Any]] = {
    # At least once from queue to queue; it needs a queue that refuses rather than forgets.
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


class Level(NamedTuple):
    """One rung of the ladder that delays are made of: an exchange, and the queue where a message waits."""

    exchange: str
    queue: str
    waits: str
    """The pattern of the routing keys that wait here."""
    passes: str
    """The pattern of those that go on to the next rung."""
    below: str
    """The exchange of the next rung."""
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Names:
    """The names and arguments that the options ask for."""

    options: RabbitMQOptions

    def queue(self, queue: str) -> str:
        """Where jobs wait."""
        prefix = self.options.prefix
        return f"{prefix}.{queue}" if prefix else queue

    def dead(self, queue: str) -> str:
        """Where its dead letters are kept."""
        return f"{self.queue(queue)}.dead"

    def arguments(self, queue: str) -> dict[str, Any]:
        """Of a queue where jobs wait."""
        options = self.options
        made: dict[str, Any] = {
            "x-queue-type": options.queue_type,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.dead(queue),
        }
        if options.queue_type == "quorum":
            # Always told: the default was no limit once, is 20 now, and -1 meant "drop at once" on older servers.
            made |= {**_SAFE, "x-delivery-limit": options.delivery_limit}
        if options.max_priority:
            made["x-max-priority"] = options.max_priority
        if options.single_active_consumer:
            made["x-single-active-consumer"] = True
        if options.consumer_timeout is not None:
            made["x-consumer-timeout"] = options.consumer_timeout // _MILLISECOND
        return made

    def dead_arguments(self) -> dict[str, Any]:
        """Of a queue of dead letters: reading them counts as a delivery each time."""
        return {"x-queue-type": "quorum", "x-delivery-limit": _MANY, "x-overflow": "reject-publish"}

    # -- the ladder --------------------------------------------------------------------------------------

    @property
    def arrivals(self) -> str:
        """The exchange that delayed messages reach when their time has come."""
        return f"{self._ladder}.due"

    @property
    def unroutable(self) -> str:
        """The exchange, and the queue, for those whose queue is gone by then: else they would hold up all others."""
        return f"{self._ladder}.unroutable"

    def arrival_key(self, queue: str) -> str:
        """The pattern of what is for this queue: words are counted, so that `b` does not get what is for `a.b`."""
        return ".".join(["*"] * self.options.levels + [self.queue(queue)])

    def unroutable_arguments(self) -> dict[str, Any]:
        return self.dead_arguments()

    def level(self, number: int) -> Level:
        """The rung that a message waits on if bit *number* of its delay is set."""
        options = self.options
        before = ["*"] * (options.levels - 1 - number)
        below = self.arrivals if number == 0 else self.exchange(number - 1)
        return Level(
            exchange=self.exchange(number),
            queue=self.exchange(number),
            waits=".".join([*before, "1", "#"]),
            passes=".".join([*before, "0", "#"]),
            below=below,
            arguments={
                **_SAFE,
                "x-message-ttl": (options.delay_unit * 2**number) // _MILLISECOND,
                "x-dead-letter-exchange": below,
            },
        )

    def levels(self) -> Iterator[Level]:
        """All of them, the last rung first."""
        return map(self.level, range(self.options.levels))

    def exchange(self, number: int) -> str:
        """Of a rung; it has a queue of the same name."""
        return f"{self._ladder}.{number:02}"

    @property
    def _ladder(self) -> str:
        # A queue's name has no colon. The unit is part of the name, as another one would be another ladder.
        return f"{self.options.prefix}:delay.{self.options.delay_unit // _MILLISECOND}ms.{self.options.levels}"

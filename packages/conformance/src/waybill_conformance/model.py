"""What must be true of every message, whatever was done to it: the simplest broker there is, as bookkeeping.

It is relaxed by what the driver claims, never by leaving something out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from waybill.driver import Capabilities, Delivery, Message
from waybill.timing import ZERO

State = Literal["waiting", "leased", "done", "dead"]
Standing = Literal["held", "over", "lost"]


@dataclass
class Entry:
    """One message, and where it must be."""

    message: Message
    due: datetime
    state: State = "waiting"
    attempt: int = 0
    until: datetime | None = None
    """The end of its lease."""
    delivery: Delivery | None = None
    """The newest one."""
    unsure_until: datetime | None = field(default=None)
    """Until then a receive that was cancelled may hold it."""


class Model:
    """Every message that was accepted.

    Args:
        able: what the driver claims.
        fuzz: how far apart this clock and the broker's may be.
    """

    def __init__(self, able: Capabilities, fuzz: timedelta = ZERO) -> None:
        self.able, self.fuzz = able, fuzz
        self.entries: dict[tuple[str, str], Entry] = {}

    def accept(self, message: Message, due: datetime) -> None:
        """Take in a message; a repeat of a stored id changes nothing."""
        before = self.entries.get((message.queue, message.id))
        if before is None or before.state in ("done", "dead"):
            self.entries[message.queue, message.id] = Entry(message, due)

    def holder(self, message: Message) -> Entry | None:
        """The other message that holds this one's unique key."""
        if message.unique is None:
            return None
        for each in self.entries.values():
            theirs = each.message.unique
            same = theirs is not None and (each.message.queue, theirs.key) == (message.queue, message.unique.key)
            if same and each.state in ("waiting", "leased") and each.message.id != message.id:
                return each
        return None

    def delivered(self, delivery: Delivery, now: datetime) -> None:
        """Note a delivery.

        Raises:
            AssertionError: it must not have been made.
        """
        message = delivery.message
        entry = self.entries.get((message.queue, message.id))
        assert entry is not None, f"{message.id} was never accepted in {message.queue}"
        assert entry.state in ("waiting", "leased"), f"{message.id} is {entry.state}, and is delivered again"
        assert entry.due <= now + self.fuzz, f"{message.id} is due at {entry.due}, and comes at {now}"
        if entry.state == "leased":
            over = entry.until is not None and entry.until <= now + self.fuzz
            assert over, f"{message.id} is leased until {entry.until}, and is delivered at {now}"
        if self.able.exact_attempts and entry.unsure_until is None:
            assert delivery.attempt == entry.attempt + 1, f"attempt {delivery.attempt} follows {entry.attempt}"
        assert message.body == entry.message.body, f"{message.id} has another body"
        entry.state, entry.attempt, entry.delivery, entry.unsure_until = "leased", delivery.attempt, delivery, None
        entry.until = None if self.able.lease is None else now + self.able.lease

    def standing(self, delivery: Delivery, now: datetime) -> tuple[Standing, Entry]:
        """Whether a delivery is still its receiver's; "over": its lease has ended, and nobody else has it yet."""
        entry = self.entries[delivery.message.queue, delivery.message.id]
        if entry.state != "leased" or entry.delivery is not delivery:
            return "lost", entry
        if entry.until is None or entry.until > now + self.fuzz:
            return "held", entry
        return "over", entry

    def ready(self, queue: str, now: datetime) -> list[Entry]:
        """What a receive must find."""
        return [each for each in self._in(queue) if self._is_ready(each, now - self.fuzz)]

    def _is_ready(self, entry: Entry, now: datetime) -> bool:
        if entry.due > now or (entry.unsure_until is not None and entry.unsure_until > now):
            return False
        return entry.state == "waiting" or (entry.state == "leased" and entry.until is not None and entry.until <= now)

    def _in(self, queue: str) -> list[Entry]:
        return [each for (name, _), each in self.entries.items() if name == queue]

    def give_back(self, entry: Entry, due: datetime, *, spent: bool) -> None:
        entry.state, entry.due, entry.until, entry.delivery = "waiting", due, None, None
        entry.attempt -= not spent

    def doubt(self, queue: str, now: datetime) -> None:
        """A receive was cancelled: what was ready may be held by nobody, until the lease that it began ends."""
        for each in self.ready(queue, now - self.fuzz):
            each.unsure_until = now + (self.able.lease or ZERO)

    def counts(self, queue: str, now: datetime) -> dict[str, int]:
        """What `stats` must tell."""
        here, ready = self._in(queue), len(self.ready(queue, now))
        stored = sum(each.state in ("waiting", "leased") for each in here)
        leased = sum(each.state == "leased" and (each.until is None or each.until > now) for each in here)
        dead = sum(each.state == "dead" for each in here)
        return {"ready": ready, "delayed": stored - ready - leased, "leased": leased, "dead": dead}

    def doubts(self, queue: str, now: datetime) -> bool:
        return any(each.unsure_until is not None and each.unsure_until > now for each in self._in(queue))

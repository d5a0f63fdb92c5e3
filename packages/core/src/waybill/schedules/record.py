"""What is stored of a schedule: its rule, the job that it sends, and how far it has come."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

from ..envelope import Envelope, Message, Session, UniqueKey, UniqueScope, encode
from ..timing import format_moment
from .recurrence import first_instant, instant_after, last_instant_until
from .schedule import CatchUp, Schedule

VERSION: Final = 1


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A Schedule, as it is stored."""

    start_at: datetime | None = None
    cron: str | None = None
    every: timedelta | None = None
    limit: int | None = None
    end_at: datetime | None = None
    tz: str = "UTC"
    catch_up: CatchUp = "latest"

    @classmethod
    def of(cls, schedule: Schedule) -> Rule:
        return cls(
            schedule.first_possible, schedule.cron, schedule.interval, schedule.limit, schedule.last_possible,
            schedule.tz, schedule.catch_up,
        )  # fmt: skip

    @property
    def schedule(self) -> Schedule:
        return Schedule(**msgspec.structs.asdict(self))


class Unique(msgspec.Struct, frozen=True, omit_defaults=True):
    """A unique key, as it is stored."""

    key: str
    until: UniqueScope
    window: timedelta | None = None


class Content(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What each firing sends."""

    job_name: str
    queue: str
    """As the application names it."""
    payload: msgspec.Raw = msgspec.Raw(b"null")
    metadata: dict[str, Any] | None = None
    max_attempts: int | None = None
    parent_id: str | None = None
    session: Session | None = None
    late: list[str] | None = None
    unique: Unique | None = None
    group: str | None = None
    priority: int = 0


class Claim(msgspec.Struct, frozen=True):
    """A worker that is about to fire the next instant, and when it no longer counts on being let."""

    by: str
    until: datetime


class Record(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", tag_field="v", tag=VERSION):
    """A schedule and its progress. Transitions return the record that is to take this one's place."""

    id: str
    content: Content
    rule: Rule
    anchor: datetime
    """The first instant."""
    next: datetime | None
    """The instant that is to be fired next; None: there is none, it is finished."""
    fired: Annotated[int, msgspec.Meta(ge=0)] = 0
    last: datetime | None = None
    claim: Claim | None = None
    declared: bool = False
    """By a job's definition: only workers that know the job fire it."""

    @classmethod
    def begin(
        cls, schedule_id: str, content: Content, schedule: Schedule, now: datetime, *, declared: bool
    ) -> Record | None:
        """A schedule that is made now; None if it has no instant at all."""
        first = first_instant(schedule, now)
        if first is None:
            return None
        return cls(schedule_id, content, Rule.of(schedule), first, first, declared=declared)

    def claimed(self, by: str, until: datetime) -> Record:
        """About to be fired."""
        return msgspec.structs.replace(self, claim=Claim(by, until))

    def held(self, by: str, now: datetime) -> bool:
        """Whether somebody else has claimed the next instant, and may still fire it."""
        return self.claim is not None and self.claim.by != by and self.claim.until > now

    def advanced(self, *, fired: bool = True) -> Record:
        """Past the next instant."""
        assert self.next is not None
        count = self.fired + fired
        limit = self.rule.limit
        more = limit is None or count < limit
        following = instant_after(self.rule.schedule, self.anchor, self.next) if more else None
        last = self.next if fired else self.last
        return msgspec.structs.replace(self, next=following, fired=count, last=last, claim=None)

    def caught_up(self, since: datetime) -> Record:
        """Without the instants that fell due while no worker lived, as far as they are not to be fired.

        Args:
            since: from when on a worker has lived. An instant of that very moment is on time, if it is alone.
        """
        policy = self.rule.catch_up
        if self.next is None or self.next > since or policy == "all":
            return self
        if policy == "latest":
            return self._at(last_instant_until(self.rule.schedule, self.next, since))
        if self.next == since:
            return self
        return self._at(instant_after(self.rule.schedule, self.anchor, since))

    def _at(self, instant: datetime | None) -> Record:
        return self if instant == self.next else msgspec.structs.replace(self, next=instant, claim=None)

    def job_id(self, instant: datetime) -> str:
        """The id of the job that is fired at *instant*."""
        return f"{self.id}@{format_moment(instant)}"

    def message(self, instant: datetime, address: str, now: datetime) -> Message:
        """The job that is fired at *instant*, for the queue at *address*."""
        content, job_id = self.content, self.job_id(instant)
        body = encode(
            Envelope(
                job_name=content.job_name,
                job_id=job_id,
                queue=content.queue,
                payload=content.payload,
                enqueued_at=now,
                metadata=content.metadata or {},
                max_attempts=content.max_attempts,
                parent_id=content.parent_id,
                session=content.session,
                late=content.late,
                schedule_id=self.id,
                scheduled_for=instant,
            )
        )
        unique = content.unique
        key = None if unique is None else UniqueKey(unique.key, unique.until, unique.window)
        return Message(job_id, address, body, key, content.group, content.priority)


def default_id(content: Content, schedule: Schedule) -> str:
    """A digest of job, queue, payload and rule: an identical dispatch is the same schedule."""
    import hashlib

    told = _encoder.encode([content.job_name, content.queue, content.payload, Rule.of(schedule)])
    return hashlib.sha256(told).hexdigest()[:32]


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """As UTF-8 JSON."""
    return _encoder.encode(record)


def decode_record(value: bytes) -> Record:
    """Read what `encode_record` wrote.

    Raises:
        ValueError: it is no schedule of this version.
    """
    return _decoder.decode(value)

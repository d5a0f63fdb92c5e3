"""From one call of a job to the message that carries it: everything checked, and no I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
from typing_extensions import ParamSpec

from ..driver import Due
from ..envelope import Envelope, Message, Session, UniqueKey, encode
from ..errors import (
    DuplicateJobError,
    EnqueueConfigurationError,
    EnqueueValueError,
    InvalidJobPayloadError,
    PayloadTooLargeError,
    UnknownQueueError,
)
from ..jobs.job import At, Job
from ..jobs.late import LateValueMet
from ..jobs.options import JobOptions, Unique, checked_priority
from ..jobs.payload import PayloadError, Schema
from ..jobs.registry import JobRegistry, as_job
from ..queues import checked_queue_name
from ..result import EnqueueResult
from ..timing import ZERO, Clock, Duration, parse_duration, parse_moment
from .ids import new_job_id

_ANY_JSON: Final = Schema()
_UNNAMED: Final = JobOptions()
_LONGEST_ID: Final = 256
_LARGE: Final = 32 * 1024  # bytes, from which on a payload is worth a word
_logger: Final = logging.getLogger("waybill.service")


Q = ParamSpec("Q")


# The sending verbs take the parameters that the job's class declares, so that type checkers know its payload.


class CanEnqueue(Protocol[Q]):
    """What `enqueue` takes."""

    def _enqueue_signature(self, *args: Q.args, **kwargs: Q.kwargs) -> Any: ...


class CanDispatch(Protocol[Q]):
    """What `dispatch` takes."""

    def _dispatch_signature(self, *args: Q.args, **kwargs: Q.kwargs) -> Any: ...


class CanEnqueueIn(Protocol[Q]):
    """What `enqueue_in` takes."""

    def _enqueue_in_signature(self, *args: Q.args, **kwargs: Q.kwargs) -> Any: ...


class CanEnqueueAt(Protocol[Q]):
    """What `enqueue_at` takes."""

    def _enqueue_at_signature(self, *args: Q.args, **kwargs: Q.kwargs) -> Any: ...


class Prepared(msgspec.Struct, frozen=True, gc=False):  # a batch makes many, and no cycle can lead through one
    """A message ready to go, and what to tell the caller."""

    message: Message
    job_name: str
    payload: Any
    due: Due
    queue: str
    scheduled_at: datetime | None
    enqueued_at: datetime
    metadata: Mapping[str, Any] | None
    options: JobOptions
    unique_key: str | None

    def accepted(self, message_id: str) -> EnqueueResult:
        return EnqueueResult(
            self.message.id,
            message_id,
            self.queue,
            "queued" if self.scheduled_at is None else "scheduled",
            self.scheduled_at,
        )

    def duplicate(self, error: DuplicateJobError) -> EnqueueResult:
        """What a conflict comes to.

        Raises:
            DuplicateJobError: the job wants to know.
        """
        unique = self.options.unique
        if unique is not None and unique.on_conflict == "skip":
            holder = error.existing_job_id or self.message.id
            return EnqueueResult(holder, holder, self.queue, "duplicate")
        raise DuplicateJobError(self.unique_key or error.key, error.existing_job_id) from error


class Rules(msgspec.Struct, frozen=True):
    """What a service holds every call against."""

    registry: JobRegistry
    queues: Sequence[str] | None
    max_payload_bytes: int
    namespace: str | None
    clock: Clock

    def address(self, queue: str) -> str:
        """The queue's name on the broker."""
        return queue if self.namespace is None else f"{self.namespace}.{queue}"

    def local_name(self, address: str) -> str:
        """The queue's name here, from its name on the broker."""
        return address if self.namespace is None else address.removeprefix(f"{self.namespace}.")

    def checked_queue(self, queue: str) -> str:
        """The queue itself, if it may be used here.

        Raises:
            InvalidQueueNameError, UnknownQueueError: it may not.
        """
        checked_queue_name(queue)
        if self.queues is not None and queue not in self.queues:
            raise UnknownQueueError(queue, self.queues)
        return queue

    def prepare(
        self,
        job: Job[Any, Any] | type[Job[Any, Any]] | str,
        payload: Any = None,
        due: Duration | At | float | None = None,
        now: datetime | None = None,
        /,
        *,
        job_id: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        retries: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Session | None = None,
        parent_id: str | None = None,
        **unknown: object,
    ) -> Prepared:
        """Check one call and encode it; *now*: the moment it shares with the others of a batch.

        Raises:
            EnqueueError, ValueError, ConfigurationError: something is refused; the message says what to do.
        """
        if unknown:
            raise TypeError(f"{min(unknown)!r} is nothing that a job is sent with; for a delay use enqueue_in()")
        name, definition, default_queue = self._find(job)
        options = _UNNAMED if definition is None else definition.options
        queue = self.checked_queue((options.queue or default_queue) if queue is None else queue)
        raw, parsed, late = self._encode(name, payload, _ANY_JSON if definition is None else definition.payload_schema)
        now = self.clock.now() if now is None else now
        due = options.delay if due is None else due
        when, scheduled_at = (None, None) if due is None else _due(due, now)
        job_id = new_job_id() if job_id is None else _checked_id(job_id)
        max_attempts = None if retries is None else _checked_retries(retries) + 1
        unique = None if options.unique is None else _unique(name, options.unique, parsed)
        body = encode(
            Envelope(
                job_name=name,
                job_id=job_id,
                queue=queue,
                payload=msgspec.Raw(raw),
                enqueued_at=now,
                metadata=_checked_metadata(name, metadata) if metadata else {},
                max_attempts=max_attempts,
                parent_id=parent_id,
                session=None if session is None else _checked_session(session),
                late=late,
            )
        )
        message = Message(
            job_id,
            queue if self.namespace is None else self.address(queue),
            body,
            unique,
            None if options.group is None else _group(name, options.group, parsed),
            options.priority if priority is None else checked_priority(priority),
        )
        key = None if unique is None else unique.key.removeprefix(f"{name}:")
        return Prepared(message, name, payload, when, queue, scheduled_at, now, metadata, options, key)

    def _find(self, given: object) -> tuple[str, Job[Any, Any] | None, str]:
        if isinstance(given, Job):
            return given.name, given, self.registry.add(given).queue
        if isinstance(given, str):
            if not given:
                raise EnqueueValueError("a job's name is not empty. Nothing was sent.")
            found = self.registry.find(given)
            return (given, None, self.registry.queue) if found is None else (found.job.name, found.job, found.queue)
        return self._find(as_job(given))

    def _encode(self, name: str, payload: object, schema: Schema) -> tuple[bytes, Any, list[str] | None]:
        late: list[str] | None = None
        try:
            try:
                raw, parsed = schema.encode(payload)
            except LateValueMet:
                raw, late = schema.encode_late(payload)
                parsed = msgspec.json.decode(raw)
        except PayloadError as issue:
            raise InvalidJobPayloadError(name, [str(issue)]) from issue
        if len(raw) > self.max_payload_bytes:
            raise PayloadTooLargeError(len(raw), self.max_payload_bytes, name)
        if len(raw) > _LARGE and name not in self.registry.told_large:
            self.registry.told_large.add(name)
            _logger.warning(
                "%s: a payload of %s bytes. Payloads are best small: send an id, and let the handler look the rest up",
                name, f"{len(raw):,}",
            )  # fmt: skip
        return raw, parsed, late


def _checked_id(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID:
        return value
    raise EnqueueValueError(f"a job id is text of 1 to {_LONGEST_ID} characters; {value!r} is not. Nothing was sent.")


def _checked_retries(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise EnqueueValueError(f"retries counts further runs, 0 or more; it cannot be {value!r}. Nothing was sent.")


def _due(given: Any, now: datetime) -> tuple[Due, datetime | None]:
    """What to tell the driver, and when that is; (None, None) is now."""
    if isinstance(given, At):
        when = parse_moment(given.when)
        return (when, when) if when > now else (None, None)
    delay = parse_duration(given)
    try:
        return (delay, now + delay) if delay > ZERO else (None, None)
    except OverflowError:
        raise EnqueueValueError(f"{given!r} from now is after the year 9999. Nothing was sent.") from None


def _unique(name: str, unique: Unique[Any], parsed: Any) -> UniqueKey | None:
    key = _computed(name, "unique key", unique.key, parsed)
    if key is None:
        return None
    assert unique.until is not None
    assert not isinstance(unique.window, str)
    return UniqueKey(f"{name}:{key}", unique.until, unique.window)


def _group(name: str, group: Callable[[Any], object] | str, parsed: Any) -> str | None:
    key = _computed(name, "group", group, parsed) if callable(group) else group
    return None if key is None else str(key)


def _computed(name: str, what: str, function: Callable[[Any], object], parsed: Any) -> object:
    try:
        return function(parsed)
    except Exception as error:
        raise EnqueueConfigurationError(
            f"{name}: its {what} cannot be computed: {type(error).__name__}: {error}; nothing was sent"
        ) from error


def _checked_metadata(name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = _ANY_JSON.encode(dict(metadata))[1]
    except (PayloadError, TypeError, ValueError) as issue:
        raise EnqueueValueError(f"{name}: the metadata is refused: {issue}. Nothing was sent.") from issue
    return plain


def _checked_session(session: object) -> Session:
    if isinstance(session, Session):
        return session
    raise EnqueueValueError("session is a Session(tag, token); nothing was sent")

"""What a job is: one `Job` value, written as a class here, or as a call or a decorator in `define.py`."""

from __future__ import annotations

import copy
import logging
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, Self, cast, overload

from typing_extensions import TypedDict, TypeVar, Unpack

from ..envelope import Session
from ..errors import ConfigurationError, EnqueueConfigurationError, EnqueueError, EnqueueValueError
from ..result import EnqueueFailure, EnqueueResult
from ..retry import Retry
from ..schedules.schedule import Schedule
from ..timing import Duration, Moment, parse_duration
from .context import JobLogger
from .current import current_context, find_service, parent_in
from .handler import UNKNOWN, Handler
from .options import OPTION_NAMES, JobOptions, Unique
from .payload import PayloadError, Schema

P = TypeVar("P", default=Any)
R = TypeVar("R", default=Any)

_WRITTEN = OPTION_NAMES | {"queue_name"}


class SendOptions(TypedDict, total=False):
    """What every sending verb takes beside the job, the payload and the time."""

    job_id: str | None
    queue: str | None
    priority: int | None
    retries: int | None
    metadata: Mapping[str, Any] | None
    session: Session | None


class DispatchOptions(SendOptions, total=False):
    """What `dispatch` takes beside them."""

    schedule: Schedule | None
    schedule_id: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a job, not yet sent: an item of `enqueue_batch`."""

    job: Job[Any, Any] | type[Job[Any, Any]] | str
    payload: Any = None
    due: Duration | At | float | None = None
    options: SendOptions | None = None


class Job(Generic[P, R]):
    """A definition: name, payload type, handler and options.

    Made by `define_job`, by `@job`, or by subclassing:

        class SendWelcome(Job[Welcome]):
            queue = "emails"
            async def handle(self, payload: Welcome, ctx: JobContext) -> None: ...

    Calling it runs the raw handler. Without a handler it is a typed declaration: it can be sent, and workers refuse it.
    """

    name: str
    handle: Callable[..., Any]
    schema: Any = None
    queue: str | None = None
    queue_name: str | None = None
    retry: Retry | int | None = None
    timeout: Duration | None = None
    unique: Unique[Any] | None = None
    group: Callable[[Any], object] | str | None = None
    priority: int = 0
    delay: Duration | None = None
    dead_letter_queue: str | None = None
    on_invalid: Literal["dead", "retry"] = "dead"
    aliases: Iterable[str] = ()
    schedule: Schedule | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = cls.__name__
        refuse_unnamed(cls.name)
        # Whatever is wrong with the class is told where it is defined, not where it is first used.
        probe = object.__new__(cls)
        _ = probe.options, probe.handler
        if "schema" not in vars(cls):
            kind = payload_type_of(probe.handler, {**sys._getframe(1).f_locals, **vars(cls)})
            cls.schema = _type_argument(cls) if kind is UNKNOWN else kind
        refuse_payload_on_schedule(probe)

    @cached_property
    def options(self) -> JobOptions:
        """The options, parsed. Assigning to `job.delay` and the like parses them again."""
        written = {name: getattr(self, name) for name in _WRITTEN if getattr(self, name, None) is not None}
        return JobOptions.parse(written)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _WRITTEN:
            JobOptions.parse({name: value})
            self.__dict__.pop("options", None)
        super().__setattr__(name, value)

    @cached_property
    def handler(self) -> Handler | None:
        """The handler and its shape; None for a declaration."""
        function = getattr(self, "handle", None)
        return None if function is None else Handler.inspect(function, self.name)

    @cached_property
    def payload_schema(self) -> Schema:
        """How payloads are checked, encoded and parsed."""
        return Schema(getattr(self, "schema", None))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the raw handler: no validation, no retry, no broker.

        Raises:
            ConfigurationError: it is a declaration.
        """
        if self.handler is None:
            raise ConfigurationError(f"{self.name} is a declaration without a handler; it can only be sent")
        return self.handle(*args, **kwargs)

    # -- sending ---------------------------------------------------------------------------------------

    @overload
    def call(
        self: Job[None, Any],
        *,
        delay: Duration | None = ...,
        at: Moment | None = ...,
        **options: Unpack[SendOptions],
    ) -> Call: ...
    @overload
    def call(
        self,
        payload: P,
        *,
        delay: Duration | None = ...,
        at: Moment | None = ...,
        **options: Unpack[SendOptions],
    ) -> Call: ...
    def call(
        self,
        payload: Any = None,
        *,
        delay: Duration | None = None,
        at: Moment | None = None,
        **options: Unpack[SendOptions],
    ) -> Call:
        """One call of this job, for `enqueue_batch`."""
        return Call(self, payload, _one_time(delay, at), options)

    @overload
    async def dispatch(
        self: Job[None, Any],
        *,
        delay: Duration | None = ...,
        at: Moment | None = ...,
        **options: Unpack[DispatchOptions],
    ) -> EnqueueResult: ...
    @overload
    async def dispatch(
        self,
        payload: P,
        *,
        delay: Duration | None = ...,
        at: Moment | None = ...,
        **options: Unpack[DispatchOptions],
    ) -> EnqueueResult: ...
    async def dispatch(
        self,
        payload: Any = None,
        *,
        delay: Duration | None = None,
        at: Moment | None = None,
        schedule: Schedule | None = None,
        schedule_id: str | None = None,
        **options: Unpack[SendOptions],
    ) -> EnqueueResult:
        """Send it through the running handler's service, the current one, or the only one that knows it.

        Sent from a handler, it records that handler's job as its parent.

        Raises:
            EnqueueError: it was not accepted; nothing was sent, unless it is an EnqueueUnknownError.
        """
        due = _one_time(delay, at)
        service = find_service(self)
        parent = parent_in(service)
        if schedule is None and schedule_id is None:
            return await service.send(Call(self, payload, due, options), parent_id=parent)
        if due is not None:
            raise EnqueueConfigurationError("a job is sent by a schedule, or at one time, not both. Nothing was sent.")
        how: dict[str, Any] = {**options, "parent_id": parent}
        return await service.dispatch(self, payload, schedule=schedule, schedule_id=schedule_id, **how)

    async def try_dispatch(self, payload: Any = None, **options: Any) -> EnqueueResult | EnqueueFailure:
        """`dispatch` for code that branches: a falsy EnqueueFailure instead of an exception."""
        try:
            return await self.dispatch(payload, **options)
        except EnqueueError as error:
            return EnqueueFailure(error)

    async def dispatch_now(self, payload: P = None) -> R:  # type: ignore[assignment]  # no payload is None
        """Run it here and now, validated, without a broker; returns what the handler returns."""
        return cast("R", await find_service(self).run_now(self, payload))

    def with_delay(self, delay: Duration) -> Self:
        """A copy with another default delay; this one keeps its own."""
        made = copy.copy(self)
        made.delay = delay
        return made

    # -- telling, from inside `handle` -----------------------------------------------------------------

    def info(self, message: str, *args: object, **fields: Any) -> None:
        """Log what is going on, with the running job's id and attempt."""
        self._log.log(logging.INFO, message, *args, **fields)

    def success(self, message: str, *args: object, **fields: Any) -> None:
        """The same, as an outcome."""
        self._log.log(logging.INFO, message, *args, outcome="success", **fields)

    def warning(self, message: str, *args: object, **fields: Any) -> None:
        """Log what somebody should look at."""
        self._log.log(logging.WARNING, message, *args, **fields)

    def error(self, message: str, *args: object, **fields: Any) -> None:
        """Log what went wrong."""
        self._log.log(logging.ERROR, message, *args, **fields)

    @property
    def _log(self) -> JobLogger:
        context = current_context.get()
        return JobLogger({"job_name": self.name}) if context is None else context.log

    # The parameters of the service's verbs: each borrows them through a ParamSpec, so that type checkers infer
    # a payload from a literal and refuse a wrong one.
    @classmethod
    def _enqueue_signature(cls, payload: P, **options: Unpack[SendOptions]) -> P:
        raise AssertionError

    @classmethod
    def _dispatch_signature(cls, payload: P, **options: Unpack[DispatchOptions]) -> P:
        raise AssertionError

    @classmethod
    def _enqueue_in_signature(cls, payload: P, delay: Duration | float, **options: Unpack[SendOptions]) -> P:
        raise AssertionError

    @classmethod
    def _enqueue_at_signature(cls, payload: P, when: Moment, **options: Unpack[SendOptions]) -> P:
        raise AssertionError

    def __eq__(self, other: object) -> bool:
        """Two definitions are equal if they say the same, whichever front end made them."""
        if not isinstance(other, Job):
            return NotImplemented
        return self is other or _content(self) == _content(other)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<job {self.name!r}>"


def _content(job: Job[Any, Any]) -> tuple[Any, ...]:
    handle = getattr(job, "handle", None)
    return job.name, getattr(handle, "__func__", handle), getattr(job, "schema", None), job.options


def _one_time(delay: Duration | None, at: Moment | None) -> Duration | At | None:
    if delay is not None and at is not None:
        raise EnqueueConfigurationError("a job is sent with a delay or at a moment, not both. Nothing was sent.")
    if delay is None:
        return None if at is None else At(at)
    try:
        return parse_duration(delay, bare=False)
    except ValueError as error:
        raise EnqueueValueError(f"{error}. Nothing was sent.") from error


@dataclass(frozen=True, slots=True)
class At:
    """A moment as it was given, told apart from a duration."""

    when: Moment


def payload_type_of(handler: Handler | None, namespace: Mapping[str, Any]) -> Any:
    """The annotation of the handler's payload, UNKNOWN where there is none."""
    return UNKNOWN if handler is None else handler.payload_type(namespace)


def _type_argument(cls: type[Job[Any, Any]]) -> Any:
    """Welcome of `class SendWelcome(Job[Welcome])`; None where there is none."""
    for base in vars(cls).get("__orig_bases__", ()):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Job):
            kind = typing.get_args(base)[0]
            if not isinstance(kind, typing.TypeVar | TypeVar):
                return kind
    return getattr(cls, "schema", None)


def refuse_payload_on_schedule(job: Job[Any, Any]) -> None:
    """Make sure that a job which a schedule sends can do without a payload.

    Raises:
        ConfigurationError: it cannot.
    """
    schema = job.payload_schema
    if job.options.schedule is None:
        return
    try:
        schema.encode(None)
    except PayloadError:
        raise ConfigurationError(
            f"{job.name}: a job that declares a schedule is sent without a payload, and this one needs one; "
            "dispatch it with the payload and schedule= instead"
        ) from None


def refuse_unnamed(name: object) -> None:
    """Make sure of a job's name.

    Raises:
        ConfigurationError: it is empty, or no text.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError("a job needs a name=, or a function that has one")

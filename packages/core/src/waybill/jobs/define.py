"""Defining jobs without a class: `define_job(...)`, and the decorator `@job`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, overload

from typing_extensions import TypeVar, Unpack

from ..errors import ConfigurationError
from ..schedules.schedule import Schedule
from .handler import UNKNOWN
from .job import Job, payload_type_of, refuse_payload_on_schedule, refuse_unnamed
from .options import JobOptions, JobOptionsInput

if TYPE_CHECKING:
    from .context import JobContext

P = TypeVar("P", default=Any)
R = TypeVar("R", default=Any)


@overload
def define_job(
    *, name: str, handler: Callable[..., Awaitable[R]], schema: type[P], **options: Unpack[JobOptionsInput]
) -> Job[P, R]: ...
@overload
def define_job(
    *, name: str, handler: Callable[..., R], schema: type[P], **options: Unpack[JobOptionsInput]
) -> Job[P, R]: ...
@overload
def define_job(
    *, name: str, handler: None = ..., schema: type[P], **options: Unpack[JobOptionsInput]
) -> Job[P, Any]: ...
@overload
def define_job(
    *, name: str | None = ..., handler: Callable[[JobContext], Awaitable[R]], **options: Unpack[JobOptionsInput]
) -> Job[None, R]: ...
@overload
def define_job(
    *, name: str | None = ..., handler: Callable[[], Awaitable[R]], **options: Unpack[JobOptionsInput]
) -> Job[None, R]: ...
@overload
def define_job(
    *,
    name: str | None = ...,
    handler: Callable[[P, JobContext], Awaitable[R]],
    **options: Unpack[JobOptionsInput],
) -> Job[P, R]: ...
@overload
def define_job(
    *, name: str | None = ..., handler: Callable[[P], Awaitable[R]], **options: Unpack[JobOptionsInput]
) -> Job[P, R]: ...
@overload
def define_job(
    *,
    name: str | None = ...,
    handler: Callable[..., Any] | None = ...,
    schema: Any = ...,
    **options: Unpack[JobOptionsInput],
) -> Job[Any, Any]: ...
def define_job(
    *,
    name: str | None = None,
    handler: Callable[..., Any] | None = None,
    schema: Any = UNKNOWN,
    **options: Any,
) -> Job[Any, Any]:
    """Define a job.

    Args:
        name: how messages name it; the function's name by default.
        handler: `async def` or plain; takes the payload, a JobContext, both or neither. None: a declaration.
        schema: the payload's type; by default the annotation of the handler's payload; None: any JSON.
        options: queue, retry, timeout, unique, group, priority, delay, dead_letter_queue, on_invalid, aliases.

    Raises:
        ConfigurationError: the handler's shape or an option is refused; the message tells the cure.
    """
    return _define(name, handler, schema, options, sys._getframe(1).f_locals)


def define_periodic_job(
    *, name: str | None = None, handler: Callable[..., Any], schedule: Schedule | None = None, **options: Any
) -> Job[None, Any]:
    """Define a job that runs by itself, without a payload.

    Args:
        name: how messages name it, and the id of its schedule; the function's name by default.
        handler: `async def` or plain; takes a JobContext or nothing (a payload parameter gets None).
        schedule: when; workers that have the job fire it. None: something outside sends it by name.
        options: as for `define_job`, but no schema.

    Raises:
        ConfigurationError: the handler's shape or an option is refused; the message tells the cure.
    """
    if "schema" in options:
        raise ConfigurationError(
            f"{name or handler!r}: a periodic job has no payload, so it takes no schema=; "
            "use define_job(), and dispatch it with the payload and schedule="
        )
    given = options if schedule is None else {**options, "schedule": schedule}
    return _define(name, handler, None, given, {})


def _define(
    name: str | None,
    function: Callable[..., Any] | None,
    schema: Any,
    options: Mapping[str, Any],
    namespace: Mapping[str, Any],
) -> Job[Any, Any]:
    name = name or getattr(function, "__name__", None)
    refuse_unnamed(name)
    JobOptions.parse(options)
    made: Job[Any, Any] = Job()
    vars(made).update({**options, "name": name, "__doc__": function.__doc__ if function else None})
    if function is not None:
        vars(made).update(handle=function, __wrapped__=function, __module__=getattr(function, "__module__", None))
    if schema is UNKNOWN:
        kind = payload_type_of(made.handler, namespace)
        schema = None if kind is UNKNOWN else kind
    vars(made)["schema"] = schema
    _ = made.options, made.handler
    refuse_payload_on_schedule(made)
    return made


class _Decorator:
    """`@job`, and `@job(name=..., ...)`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options

    @overload
    def __call__(self, function: Callable[[JobContext], Awaitable[R]], /) -> Job[None, R]: ...
    @overload
    def __call__(self, function: Callable[[], Awaitable[R]], /) -> Job[None, R]: ...
    @overload
    def __call__(self, function: Callable[[P, JobContext], Awaitable[R]], /) -> Job[P, R]: ...
    @overload
    def __call__(self, function: Callable[[JobContext], R], /) -> Job[None, R]: ...
    @overload
    def __call__(self, function: Callable[[P], Awaitable[R]], /) -> Job[P, R]: ...
    @overload
    def __call__(self, function: Callable[[], R], /) -> Job[None, R]: ...
    @overload
    def __call__(self, function: Callable[[P, JobContext], R], /) -> Job[P, R]: ...
    @overload
    def __call__(self, function: Callable[[P], R], /) -> Job[P, R]: ...
    @overload
    def __call__(
        self, *, name: str | None = ..., schema: Any = ..., **options: Unpack[JobOptionsInput]
    ) -> _Decorator: ...
    def __call__(self, *function: Callable[..., Any], **options: Any) -> Any:
        given = {**self._options, **options}
        if not function:
            return _Decorator(given)
        name, schema = given.pop("name", None), given.pop("schema", UNKNOWN)
        return _define(name, function[0], schema, given, sys._getframe(1).f_locals)


job = _Decorator({})
"""Turn a function into a job: `@job`, or `@job(name="send-welcome", queue="emails", retry=5)`."""

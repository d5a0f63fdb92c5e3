"""A handler's shape: which parameter takes the payload, and which the context."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Final

from ..errors import ConfigurationError

_CONTEXT_NAMES: Final = frozenset({"ctx", "context"})
_OPTIONAL: Final = re.compile(r"\|\s*None|None\s*\||(\w+\.)*Optional(?=\[)")
_VARIADIC: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)

UNKNOWN: Final = inspect.Parameter.empty
"""The payload's annotation where there is none."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A function and how to call it."""

    function: Callable[..., Any]
    is_async: bool
    payload: Parameter | None
    context: Parameter | None
    context_first: bool = False

    @classmethod
    def inspect(cls, function: Callable[..., Any], job_name: str) -> Handler:
        """Find out how to call *function*.

        Raises:
            ConfigurationError: it is no handler; the message tells the cure.
        """
        if not callable(function):
            raise ConfigurationError(f"{job_name}: the handler {function!r} cannot be called")
        called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            raise ConfigurationError(f"{job_name}: a handler returns; this one yields. Enqueue a job for each item")
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            raise ConfigurationError(f"{job_name}: {function!r} has no signature; wrap it in a def") from None
        if any(each.kind in _VARIADIC for each in parameters):
            raise ConfigurationError(
                f"{job_name}: a handler that takes *args or **kwargs does not say what its payload is; "
                "name one parameter for the payload and, if wanted, one for the context"
            )
        context = _context(parameters, function, job_name)
        others = [each for each in parameters if each is not context]
        required = [each for each in others if each.default is Parameter.empty]
        if len(required) > 1:
            names = ", ".join(each.name for each in required)
            raise ConfigurationError(
                f"{job_name}: a handler takes one payload and, if wanted, one JobContext; this one needs {names}. "
                "Put the fields into one dataclass, and name or annotate the context as ctx: JobContext"
            )
        payload = next(iter(required or others), None)
        return cls(
            function=function,
            is_async=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called),
            payload=payload,
            context=context,
            context_first=payload is not None
            and context is not None
            and parameters.index(context) < parameters.index(payload),
        )

    def call(self, payload: object, ctx: object) -> Any:
        """Run it; an async one returns its coroutine. No payload is the parameter's default, where it has one."""
        args: list[object] = []
        named: dict[str, object] = {}
        for parameter, given in ((self.payload, payload), (self.context, ctx)):
            if parameter is None:
                continue
            value = parameter.default if given is None and parameter.default is not UNKNOWN else given
            if parameter.kind is Parameter.POSITIONAL_ONLY:
                args.append(value)
            else:
                named[parameter.name] = value
        if self.context_first:
            args.reverse()
        return self.function(*args, **named)

    def payload_type(self, namespace: Mapping[str, Any]) -> Any:
        """The payload's annotation, resolved; UNKNOWN where there is none.

        Raises:
            ConfigurationError: it is text that names nothing here.
        """
        if self.payload is None:
            return UNKNOWN
        annotation = self.payload.annotation
        if not isinstance(annotation, str):
            return annotation
        function = inspect.unwrap(self.function)
        function = getattr(function, "func", function)  # of a functools.partial
        function = getattr(function, "__func__", function)
        scope = {**getattr(function, "__globals__", {}), **namespace}
        carrier = type("carrier", (), {"__annotations__": {"payload": annotation}})
        try:
            return typing.get_type_hints(carrier, scope, dict(namespace), include_extras=True)["payload"]
        except Exception as error:
            raise ConfigurationError(
                f"{getattr(function, '__qualname__', function)}: the payload's annotation {annotation!r} means nothing "
                f"at run time ({error}); pass schema="
            ) from error


def _context(parameters: list[Parameter], function: Callable[..., Any], job_name: str) -> Parameter | None:
    """The parameter annotated JobContext, or else named ctx or context."""
    names = getattr(inspect.unwrap(function), "__globals__", {})
    found = [each for each in parameters if _is_context(each.annotation, names)]
    found = found or [each for each in parameters if each.name in _CONTEXT_NAMES]
    if len(found) > 1:
        listed = ", ".join(each.name for each in found)
        raise ConfigurationError(f"{job_name}: a handler takes one context; this one takes {listed}. Drop all but one")
    return found[0] if found else None


def _is_context(annotation: Any, names: Mapping[str, Any]) -> bool:
    if isinstance(annotation, str):
        # Looked at as text: it may exist for type checkers only, and nothing else of the signature is resolved.
        text = _OPTIONAL.sub("", annotation).strip("[]\"' ")
        return text.rpartition(".")[2] == "JobContext" or getattr(names.get(text), "__name__", "") == "JobContext"
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return any(_is_context(each, names) for each in typing.get_args(annotation))
    return getattr(annotation, "__forward_arg__", getattr(annotation, "__name__", "")) == "JobContext"

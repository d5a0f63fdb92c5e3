"""Values that are put into a payload when the job runs, and not when it is sent.

    digest = {"to": Ref("session.user.email"), "since": Lazy("a-month-ago", lambda now: now - timedelta(days=30))}
    await service.dispatch(send_digest, digest, session=session, schedule=daily)

The message says where such values go, beside the payload: a payload that merely looks like one is left as it is.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .context import JobContext

Lookup = Callable[["JobContext"], Any]
"""From the running job to a mapping or object whose parts a Ref names; may be `async def`."""

_lazy: Final[dict[str, Callable[[datetime], Any]]] = {}


class Ref:  # no dataclass: an encoder would take that for a value
    """The value at a path, such as "session.user.email", looked up when the job runs.

    Its first part is one of the service's `references=`, or "metadata", or "session" (its tag).
    """

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        given: object = path
        if not isinstance(given, str) or not all(given.split(".")):
            raise ValueError(f'a path is names with dots between them, such as "session.user.email", not {path!r}')
        self.path = path

    def __repr__(self) -> str:
        return f"Ref({self.path!r})"


class Lazy:
    """A value that is computed when the job runs, by a function that workers know by its name.

    Args:
        name: the same in the processes that send and those that work.
        compute: from the instant of the schedule (else the time of the run, aware UTC) to a JSON value.

    Raises:
        ConfigurationError: another function has that name.
    """

    __slots__ = ("name",)

    def __init__(self, name: str, compute: Callable[[datetime], Any]) -> None:
        known = _lazy.setdefault(name, compute)
        if known is not compute and _code(known) != _code(compute):
            raise ConfigurationError(f"two different functions are Lazy({name!r}); give one of them another name")
        self.name = name

    def __repr__(self) -> str:
        return f"Lazy({self.name!r})"


def _code(function: Callable[..., Any]) -> Any:
    """The same function of a module that was imported again is no other one."""
    code = getattr(function, "__code__", None)
    return function if code is None else (code.co_code, code.co_consts, code.co_names)


class LateError(ValueError):
    """A late value that nobody can look up: the payload is invalid."""


class LateValueMet(Exception):  # noqa: N818 - no failure: the payload takes another way
    """Told by an encoder that has met a Ref or Lazy."""


def refuse_late(value: Any) -> None:
    """For an encoder that knows no late values.

    Raises:
        LateValueMet: this is one.
    """
    if isinstance(value, (Ref, Lazy)):
        raise LateValueMet(repr(value))


# -- sending -------------------------------------------------------------------------------------------


def encode_late(payload: Any, to_builtin: Callable[[Any], Any]) -> tuple[Any, list[str]]:
    """A payload as JSON values, and where in it (as JSON pointers) stand what is to be replaced."""
    seal = os.urandom(8).hex()  # so that nothing else in the payload is taken for one

    def mark(value: Any) -> Any:
        if isinstance(value, Ref):
            return {"$ref": value.path, "$seal": seal}
        return {"$lazy": value.name, "$seal": seal} if isinstance(value, Lazy) else to_builtin(value)

    plain = msgspec.to_builtins(payload, enc_hook=mark)
    pointers: list[str] = []
    for pointer, value in _mappings(plain, ""):
        if value.get("$seal") == seal:
            del value["$seal"]
            pointers.append(pointer)
    return plain, pointers


def _mappings(value: Any, pointer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield pointer, value
        for key, item in value.items():
            yield from _mappings(item, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mappings(item, f"{pointer}/{index}")


# -- running -------------------------------------------------------------------------------------------


async def resolve_late(
    raw: bytes | msgspec.Raw, pointers: list[str], ctx: JobContext, references: Mapping[str, Lookup], now: datetime
) -> bytes:
    """The payload with its late values, as JSON.

    Raises:
        LateError: one of them cannot be found. Whatever a lookup raises.
    """
    payload = msgspec.json.decode(raw)
    found: dict[str, Any] = {}
    for pointer in pointers:
        parent, key = _place(payload, pointer)
        marker = payload if parent is None else parent[key]
        if "$lazy" in marker:
            value = _computed(marker["$lazy"], ctx.scheduled_for or now)
        else:
            value = await _referred(marker["$ref"], ctx, references, found)
        if parent is None:
            payload = value
        else:
            parent[key] = value
    return msgspec.json.encode(payload)


def _place(payload: Any, pointer: str) -> tuple[Any, Any]:
    try:
        *path, last = [each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:]] or [""]
        if not pointer:
            return None, None
        for each in path:
            payload = payload[int(each)] if isinstance(payload, list) else payload[each]
        key: Any = int(last) if isinstance(payload, list) else last
        if not isinstance(payload[key], dict):
            raise LateError(f"${pointer}: no late value stands there")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise LateError(f"${pointer}: no late value stands there") from error
    return payload, key


def _computed(name: Any, moment: datetime) -> Any:
    compute = _lazy.get(name)
    if compute is None:
        raise LateError(f"Lazy({name!r}) is not known here: import the module that makes it")
    return msgspec.to_builtins(compute(moment))


async def _referred(path: Any, ctx: JobContext, references: Mapping[str, Lookup], found: dict[str, Any]) -> Any:
    first, *rest = str(path).split(".")
    if first not in found:
        lookup = references.get(first) or _BUILT_IN.get(first)
        if lookup is None:
            known = ", ".join(sorted({*references, *_BUILT_IN}))
            raise LateError(f"Ref({path!r}): there is no {first!r} in references=; there are {known}")
        value = lookup(ctx)
        found[first] = await value if isinstance(value, Awaitable) or inspect.isawaitable(value) else value
    value = found[first]
    for each in rest:
        try:
            value = value[each] if isinstance(value, Mapping) else getattr(value, each)
        except (KeyError, AttributeError):
            raise LateError(f"Ref({path!r}): {first} has no {each!r}") from None
    return msgspec.to_builtins(value)


_BUILT_IN: Final[Mapping[str, Lookup]] = {
    "metadata": lambda ctx: ctx.metadata,
    "session": lambda ctx: {} if ctx.session is None else {"tag": ctx.session.tag},
}

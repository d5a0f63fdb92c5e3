"""A payload's schema: checked on the encoded form before it is sent, and parsed before the handler runs."""

from __future__ import annotations

import datetime
import decimal
import math
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, Final, Literal, Union

import msgspec
import msgspec.inspect

from ..errors import ConfigurationError
from .late import LateValueMet, encode_late, refuse_late

MAX_DEPTH: Final = 64
_INTEGERS: Final = range(-(2**63), 2**64)


class PayloadError(ValueError):
    """What is wrong with a value, and where ("$" is the payload itself)."""


class Schema:
    """The type of a job's payload; None stands for any JSON."""

    __slots__ = ("_decode", "_plain", "kind")

    def __init__(self, kind: Any = None) -> None:
        """Prepare to read and write *kind*.

        Raises:
            ConfigurationError: no such type can be read from JSON.
        """
        self.kind = kind
        self._plain = kind is None or kind is Any or kind is object
        self._decode = _decoder(Any if self._plain else kind)

    def encode(self, value: object) -> tuple[bytes, Any]:
        """The value as JSON, and as the handler will see it.

        Raises:
            PayloadError: it is not of this type, or no other language could read it.
            LateValueMet: there is a Ref or Lazy in it; `encode_late` takes those.
        """
        plain: Any = value
        try:
            if not self._plain and type(value) is not dict:
                plain = msgspec.to_builtins(value, enc_hook=_to_builtin)
            fault = _fault(plain, MAX_DEPTH)
            if fault and not self._plain and plain is value:  # most dicts need no conversion; this one may
                plain = msgspec.to_builtins(value, enc_hook=_to_builtin)
                fault = _fault(plain, MAX_DEPTH)
            raw = b"" if fault else _encoder.encode(plain)
        except RecursionError:
            fault, raw = _TOO_DEEP, b""
        except LateValueMet:
            raise
        except Exception as error:
            raise PayloadError(f"$: {error}") from error
        if fault is not None:
            raise PayloadError(f"${fault[0]}: {fault[1]}")
        return raw, self.parse(raw)

    def encode_late(self, value: object) -> tuple[bytes, list[str]]:
        """A value with late ones in it as JSON, and where they stand; it is checked when it runs.

        Raises:
            PayloadError: no other language could read it.
        """
        try:
            plain, pointers = encode_late(value, to_builtin)
            fault = _fault(plain, MAX_DEPTH)
        except RecursionError:
            fault, plain, pointers = _TOO_DEEP, None, []
        except Exception as error:
            raise PayloadError(f"$: {error}") from error
        if fault is not None:
            raise PayloadError(f"${fault[0]}: {fault[1]}")
        return _encoder.encode(plain), pointers

    def parse(self, raw: bytes | msgspec.Raw) -> Any:
        """Read a payload, defaults applied.

        Raises:
            PayloadError: it is not of this type.
        """
        try:
            return self._decode(raw)
        except RecursionError:
            raise PayloadError("$: nested too deeply") from None
        except Exception as error:  # what a type's own validation raises is its own choice
            raise PayloadError(_told(error)) from error


def _told(error: Any) -> str:
    """Msgspec says "what - at `$.path`", pydantic several lines; both become "path: what"."""
    if hasattr(error, "errors"):
        listed: list[dict[str, Any]] = error.errors()
        return "; ".join(f"$.{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in listed)
    what, at, path = str(error).rpartition(" - at `")
    return f"{path.rstrip('`')}: {what}" if at else f"$: {error}"


# -- values --------------------------------------------------------------------------------------------


_Fault = tuple[str, str] | None  # where in the value, and what


def _fault(value: Any, depth: int) -> _Fault:
    """The first thing in *value* that JSON cannot carry everywhere."""
    return _FAULTS.get(type(value), _fault_of_object)(value, depth)


def _fault_of_text(value: str, depth: int) -> _Fault:
    try:
        value.encode()
    except UnicodeEncodeError:
        return "", "a lone surrogate is no text"
    return None


def _fault_of_float(value: float, depth: int) -> _Fault:
    return None if math.isfinite(value) else ("", f"{value} has no JSON form")


def _fault_of_integer(value: int, depth: int) -> _Fault:
    return None if value in _INTEGERS else ("", "the number does not fit into 64 bits")


def _fault_of_object_members(value: dict[Any, Any], depth: int) -> _Fault:
    if not depth:
        return _TOO_DEEP
    for key, item in value.items():
        if type(key) is not str:
            return "", f"the key {key!r} is no text"
        if not key.isascii() and _fault_of_text(key, 0):
            return f".{key.encode(errors='replace').decode()}", "a lone surrogate is no text"
        if type(item) is str and item.isascii():  # most are
            continue
        fault = _fault(item, depth - 1)
        if fault is not None:
            return f".{key}{fault[0]}", fault[1]
    return None


def _fault_of_items(value: Sequence[Any], depth: int) -> _Fault:
    if not depth:
        return _TOO_DEEP
    for index, item in enumerate(value):
        fault = _fault(item, depth - 1)
        if fault is not None:
            return f"[{index}]{fault[0]}", fault[1]
    return None


def _no_fault(value: Any, depth: int) -> _Fault:
    return None


_TOO_DEEP: Final = ("", f"nested more than {MAX_DEPTH} levels deep")
_FAULTS: Final[dict[type, Callable[[Any, int], _Fault]]] = {
    str: _fault_of_text,
    int: _fault_of_integer,
    float: _fault_of_float,
    dict: _fault_of_object_members,
    list: _fault_of_items,
    tuple: _fault_of_items,
    bool: _no_fault,
    type(None): _no_fault,
}

_NOT_JSON: Final = (
    bytes, bytearray, memoryview, set, frozenset, complex,
    datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID,
)  # fmt: skip


def _fault_of_object(value: Any, depth: int) -> _Fault:
    """Without a schema an object goes as its JSON form, but a scalar would arrive as something else."""
    if isinstance(value, _NOT_JSON):
        return (
            "",
            f"a {type(value).__name__} is no JSON value; give the job a schema that says so, or send text",
        )
    try:
        plain = msgspec.to_builtins(value, enc_hook=_to_builtin)
    except RecursionError:
        return _TOO_DEEP
    except LateValueMet:
        raise
    except Exception as error:
        return "", str(error)
    return _fault(plain, depth) if type(plain) is not type(value) else None


def _to_builtin(value: Any) -> Any:
    refuse_late(value)
    return to_builtin(value)


def to_builtin(value: Any) -> Any:
    """What msgspec does not know by itself as JSON values.

    Raises:
        TypeError: it has no JSON form.
    """
    if isinstance(value, Mapping):
        return dict(value)
    for base in (str, int, float):  # a subclass of theirs, which nobody else knows
        if isinstance(value, base):
            return base(value)
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"a {type(value).__name__} has no JSON form")
    return dump(mode="json", by_alias=True, warnings=False)  # what is wrong is told by the validation that follows


_encoder: Final = msgspec.json.Encoder(enc_hook=_to_builtin)


# -- types ---------------------------------------------------------------------------------------------

Decode = Callable[[Any], Any]


def _decoder(kind: Any) -> Decode:
    if hasattr(kind, "model_validate_json"):
        return lambda raw: kind.model_validate_json(bytes(raw))
    try:
        decoder = msgspec.json.Decoder(kind, dec_hook=_from_builtin)
        stranger = _stranger(msgspec.inspect.type_info(kind), set())
    except NameError as error:
        raise ConfigurationError(
            f"{kind!r} cannot be a payload: {error}. What its annotations name must be importable from its module "
            "at run time; else pass schema= another type"
        ) from None
    except TypeError as error:
        if typing.get_origin(kind) in (Union, UnionType):
            return _union_decoder(typing.get_args(kind))
        raise ConfigurationError(f"{kind!r} cannot be a payload: {error}. {_USE}") from None
    if stranger is not None:
        raise ConfigurationError(f"{kind!r} cannot be a payload: {stranger!r} cannot be read from JSON. {_USE}")
    return decoder.decode


_USE: Final = (
    "Use a dataclass, TypedDict, msgspec.Struct, attrs class, pydantic model, a builtin type or a union of these"
)


def _stranger(node: Any, seen: set[int]) -> Any:
    """A class somewhere in a type that neither msgspec nor pydantic can read."""
    if isinstance(node, msgspec.inspect.CustomType):
        return None if hasattr(node.cls, "model_validate") else node.cls
    if isinstance(node, tuple):
        return next((found for each in node if (found := _stranger(each, seen)) is not None), None)
    if not isinstance(node, (msgspec.inspect.Type, msgspec.inspect.Field)) or id(node) in seen:
        return None
    seen.add(id(node))
    return _stranger(tuple(getattr(node, name) for name in node.__struct_fields__), seen)


def _from_builtin(kind: Any, value: Any) -> Any:
    validate = getattr(kind, "model_validate", None)
    if validate is None:
        raise NotImplementedError(f"{kind!r} cannot be read from JSON")
    return validate(value)


def _union_decoder(members: tuple[Any, ...]) -> Decode:
    """Choose by a Literal field that every member has, else try one after the other."""
    decoders = [_decoder(each) for each in members]
    tag, by_value = _tag(members, decoders)

    def decode(raw: Any) -> Any:
        if tag is not None:
            value = msgspec.json.decode(raw)
            found = value.get(tag) if isinstance(value, dict) else None
            chosen = None if isinstance(found, (dict, list)) else by_value.get(found)
            if chosen is not None:
                return chosen(raw)
            known = ", ".join(repr(each) for each in by_value)
            raise ValueError(f"fits no member of the union: {tag!r} must be one of {known}")
        refusals: list[str] = []
        for each in decoders:
            try:
                return each(raw)
            except ValueError as error:
                refusals.append(_told(error))
        raise ValueError(f"fits no member of the union ({'; '.join(refusals)})")

    return decode


def _tag(members: tuple[Any, ...], decoders: list[Decode]) -> tuple[str | None, dict[Any, Decode]]:
    literals: list[dict[str, tuple[Any, ...]]] = []
    for member in members:
        try:
            hints = typing.get_type_hints(member)
        except (TypeError, NameError):
            return None, {}
        literals.append(
            {name: typing.get_args(hint) for name, hint in hints.items() if typing.get_origin(hint) is Literal}
        )
    for name in literals[0]:
        if all(name in each for each in literals):
            by_value = {value: decoders[i] for i, each in enumerate(literals) for value in each[name]}
            if len(by_value) == sum(len(each[name]) for each in literals):
                return name, by_value
    return None, {}

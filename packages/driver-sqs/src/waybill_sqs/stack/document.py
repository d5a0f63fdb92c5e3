"""A template as YAML that people can read: mappings, lists, texts, numbers and CloudFormation's short functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

_PLAIN: Final = re.compile(r"[A-Za-z./$][\w./${}-]*(?::{1,2}[\w*./${}-]+)*")
"""Text that YAML takes for text, and for all of it."""
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})

Value: TypeAlias = "str | int | Function | Sequence[Value] | Mapping[str, Value]"


@dataclass(frozen=True, slots=True)
class Function:
    """One of CloudFormation's functions with a text: `!Ref Jobs`."""

    name: str
    of: str


def ref(resource: str) -> Function:
    """What a resource is known by: the URL of a queue, the name of a table."""
    return Function("Ref", resource)


def arn(resource: str) -> Function:
    """A resource's ARN."""
    return Function("GetAtt", f"{resource}.Arn")


def sub(text: str) -> Function:
    """The text with what `${...}` stands for."""
    return Function("Sub", text)


def to_yaml(document: Mapping[str, Value]) -> str:
    """The document's text."""
    return "\n".join(_lines(document, "")) + "\n"


def _lines(value: Value, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _entry(f"{indent}{_scalar(name)}:", each, f"{indent}  ")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            if isinstance(each, Mapping) and each:
                first, *rest = _lines(each, f"{indent}  ")
                yield f"{indent}- {first.removeprefix(f'{indent}  ')}"
                yield from rest
            else:
                yield from _entry(f"{indent}-", each, f"{indent}  ")


def _entry(head: str, value: Value, indent: str) -> Iterator[str]:
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
        if value:
            yield head
            yield from _lines(value, indent)
        else:
            yield f"{head} {'{}' if isinstance(value, Mapping) else '[]'}"
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: str | int | Function) -> str:
    if isinstance(value, Function):
        return f"!{value.name} {_scalar(value.of)}"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)  # True is an int, and true here

"""Scripts live in lua/, one per purpose; the parts they share are named in their first line: `-- with: queue ring`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Final

_WITH: Final = re.compile(r"-- with: (.*)\n")


@dataclass(frozen=True, slots=True)
class Script:
    """One script, whole, and the digest by which a server that has it knows it."""

    name: str
    text: str
    digest: str


def script(name: str) -> Script:
    """The script `lua/<name>.lua` with the parts it names."""
    own = _read(name)
    named = _WITH.match(own)
    parts = [_read(part) for part in named[1].split()] if named else []
    text = "\n".join([*parts, own])
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return files("waybill_redis").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")

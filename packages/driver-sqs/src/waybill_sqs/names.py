"""What a queue and its companions are called on SQS, and back again.

SQS has letters, digits, '-' and '_', 80 in all. A queue keeps its name where it can: what SQS does not take, and what
would read as a companion's ending, is escaped as `_` and two hexadecimal digits; a name that gets too long ends in a
digest.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

LONGEST: Final = 80
FIFO: Final = ".fifo"
DEAD: Final = "dead"
"""The companion for dead letters."""
LATER: Final = "later"
"""The companion of a FIFO queue for what is delayed: FIFO queues cannot delay a message by itself."""

_SUFFIXES: Final = 11  # characters of the longest ending, "-later" or "-dead.fifo"
_DIGEST: Final = 12
_DIGESTED: Final = re.compile(r".+_[0-9a-f]{12}")
_ENDING: Final = re.compile(r"-(?=(?:dead|later|p[1-9])$)")
_ESCAPED: Final = re.compile(r"_(2E|2D|5F)")
_LIKE_ESCAPED: Final = re.compile(r"_(?=2E|2D|5F)")


class Place(NamedTuple):
    """A queue of SQS's: one of ours, or a companion of it."""

    queue: str
    part: str = ""
    """"" for the queue itself, else DEAD, LATER, or "p1" to "p9" for its more urgent classes."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of an application's queues on SQS."""

    prefix: str
    fifo: bool

    def of(self, place: Place) -> str:
        """The name on SQS."""
        stem = f"{self.prefix}-" if self.prefix else ""
        stem += _escape(place.queue)
        if len(stem) > LONGEST - _SUFFIXES or _is_digested(stem):
            digest = hashlib.sha256(place.queue.encode()).hexdigest()[:_DIGEST]
            stem = f"{stem[: LONGEST - _SUFFIXES - _DIGEST - 1]}_{digest}"
        part = f"-{place.part}" if place.part else ""
        return f"{stem}{part}{FIFO if self.fifo and place.part != LATER else ''}"

    def read(self, name: str) -> Place | None:
        """What a name on SQS stands for; None for another program's, and for one that ends in a digest."""
        stem = name.removesuffix(FIFO)
        if _is_digested(re.sub(r"-(dead|later|p[1-9])$", "", stem)):
            return None
        if self.prefix:
            if not stem.startswith(f"{self.prefix}-"):
                return None
            stem = stem.removeprefix(f"{self.prefix}-")
        found = re.fullmatch(r"(.+)-(dead|later|p[1-9])", stem)
        coded, part = (found[1], found[2]) if found else (stem, "")
        place = Place(_ESCAPED.sub(lambda each: chr(int(each[1], 16)), coded), part)
        return place if self.of(place) == name else None


def _is_digested(stem: str) -> bool:
    """Whether it is as long as those that were cut, and ends as they do."""
    return len(stem) == LONGEST - _SUFFIXES and _DIGESTED.fullmatch(stem) is not None


def _escape(queue: str) -> str:
    coded = _LIKE_ESCAPED.sub("_5F", queue).replace(".", "_2E")
    return _ENDING.sub("_2D", coded)

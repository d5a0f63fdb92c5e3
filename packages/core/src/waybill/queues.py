"""The rule for queue names, and the name of a queue's dead letters."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from .errors import InvalidQueueNameError

DEAD: Final = ".dead"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def checked_queue_name(name: object) -> str:
    """The name itself, if it is one.

    Raises:
        InvalidQueueNameError: it is none.
    """
    if isinstance(name, str) and _is_name(name):
        return name
    raise InvalidQueueNameError(name)


@lru_cache(maxsize=1024)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and not text.endswith(DEAD)


def dead_queue(queue: str) -> str:
    """Where the core keeps dead letters of a broker that cannot bury."""
    return queue + DEAD

"""The rule for queue names, and the name of a queue's dead letters."""

from __future__ import annotations

import re
from typing import Final

from .errors import InvalidQueueNameError

DEAD: Final = ".dead"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def checked_queue_name(name: object) -> str:
    """The name itself, if it is one.

    Raises:
        InvalidQueueNameError: it is none.
    """
    if isinstance(name, str) and _NAME.fullmatch(name) and not name.endswith(DEAD):
        return name
    raise InvalidQueueNameError(name)


def dead_queue(queue: str) -> str:
    """Where the core keeps dead letters of a broker that cannot bury."""
    return queue + DEAD

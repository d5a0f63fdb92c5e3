"""From a delay to a way through the ladder: its bits say on which rungs a message waits."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from waybill.timing import ZERO

from .names import Names


class Way(NamedTuple):
    """Where a message is published to, and what is left of its delay when it arrives."""

    exchange: str
    key: str
    rest: timedelta = ZERO


def way(names: Names, queue: str, delay: timedelta) -> Way:
    """The way to a queue that takes this long, or a unit longer; a delay beyond the ladder goes round again."""
    options = names.options
    if delay <= ZERO:
        return Way("", names.queue(queue))
    levels, unit = options.levels, options.delay_unit
    units = min(-(-delay // unit), 2**levels - 1)
    bits = f"{units:0{levels}b}"
    return Way(
        names.exchange(units.bit_length() - 1),
        ".".join([*bits, names.queue(queue)]),
        max(delay - units * unit, ZERO),
    )

"""The one thing an author writes: how to open the driver, and what may be done to its broker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias

from waybill.driver import QueueDriver
from waybill.timing import Clock

Direction: TypeAlias = Literal["up", "down"]
"""To the broker, or from it."""
LEASE: Final = timedelta(seconds=2)
"""Long enough for a busy machine, short enough to be waited for."""


class VirtualTime(Clock, Protocol):
    """A clock that goes only when it is told to; `waybill.testing.VirtualClock` is one."""

    def advance(self, duration: Any, /) -> None: ...


class Harness:
    """Opens the driver under test, and does to its broker what the author allows.

    It is made once per test process, without arguments; `open` is called anew for each case, each time on an
    event loop of its own. Whatever has to be started is started by the first `open`, and ended by `close`.
    """

    suite: ClassVar[str] = ""
    """The version of the suite this harness was written for, such as "0.1"; another major one refuses it."""

    known_gaps: Mapping[str, str] = {}
    """{name of a case: why the driver fails it}: printed, and a failure once the driver passes it."""

    url: str | None = None
    """Where another process reaches the same broker, if one can; `--url` sets it."""

    clock: VirtualTime | None = None
    """The virtual clock that the driver obeys, if it obeys one: the suite then never waits."""

    without: frozenset[str] = frozenset()
    """Powers that it defines and has not got this time: nobody restarts a broker that is somebody else's."""

    patience: float = float(os.environ.get("WAYBILL_CONFORMANCE_PATIENCE") or 1)
    """How much later than usual things may happen here; nothing may ever happen earlier. The environment's
    `WAYBILL_CONFORMANCE_PATIENCE` sets it for a busy machine."""

    rest: timedelta = timedelta()
    """How long a queue must have been there before the broker keeps it over a kill. It is waited for before one, so
    what is stored within that time after the first use of a queue is not proven: tell it in the driver's README."""

    async def open(self, *, lease: timedelta = LEASE) -> QueueDriver:
        """A fresh driver, opened, on the same broker each time."""
        raise NotImplementedError("a harness needs `async def open(self, *, lease)`, which returns an opened driver")

    async def close(self) -> None:
        """End what `open` or `share` has started; called once, after the last case."""

    async def share(self) -> str | None:
        """Start the broker for several test processes; the URL where each finds it, or None: each starts its own."""
        return None

    def borrow(self, url: str) -> None:
        """Use the broker that another test process shares, and leave it running."""
        self.url = url

    # -- powers: define those that the broker can bear; `powers` tells which are ---------------------------

    async def restart(self) -> None:
        """Stop the broker the hard way and start it again; of an embedded one, kill every process that holds it."""
        raise NotImplementedError

    async def pause(self) -> None:
        """Let the broker stand still: it accepts connections and answers nothing."""
        raise NotImplementedError

    async def resume(self) -> None:
        """End the pause."""
        raise NotImplementedError

    async def cut(self) -> None:
        """Let every open connection die, now; new ones are accepted."""
        raise NotImplementedError

    async def sever(self, number: int, direction: Direction) -> None:
        """Let the connection die that brings the broker ("up"), or its client, the *number*-th message from now."""
        raise NotImplementedError

    async def slow(self, delay: timedelta) -> None:
        """Let every message take so much longer, either way."""
        raise NotImplementedError

    async def heal(self) -> None:
        """End `slow`, and `sever` that has met no message."""
        raise NotImplementedError

    async def raw(self, queue: str, body: bytes) -> None:
        """Put foreign bytes into a queue, as another program would."""
        raise NotImplementedError


def powers(harness: Harness) -> frozenset[str]:
    """What this harness can do beside opening: its methods, and `url` and `clock` where they are set."""
    own = {name for name in ("restart", "cut", "raw") if _defines(harness, name)}
    if _defines(harness, "pause") and _defines(harness, "resume"):
        own.add("pause")
    if all(_defines(harness, name) for name in ("sever", "slow", "heal")):
        own.add("network")
    own |= {name for name in ("url", "clock") if getattr(harness, name) is not None}
    return frozenset(own - harness.without)


def _defines(harness: Harness, name: str) -> bool:
    return getattr(type(harness), name, None) is not getattr(Harness, name) or name in vars(harness)

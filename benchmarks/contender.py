"""What a job library is asked to do; each module of `contenders/` answers for one of them, in a class `Contender`."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

PAYLOAD: dict[str, Any] = {"user_id": "u-0000000001", "locale": "en", "text": "x" * 120}
"""330 bytes once Waybill has wrapped it."""
SMALL: dict[str, Any] = PAYLOAD | {"text": "x" * 46}
"""256 bytes once Waybill has wrapped it."""


@dataclass(frozen=True)
class Place:
    """Where one measurement of one contender happens."""

    broker: str
    url: str
    """Of a server that this run has started, or of a file that does not exist yet."""
    name: str
    """That nobody else has used: for queues, streams, groups."""
    folder: str
    """An empty one."""


class Contender(ABC):
    """A job library as its users would write it, at its best reasonable settings for one process.

    Its jobs are three: `nothing`, `nothing` as a plain function, and `stamp`, whose payload is the time at which it
    may begin. They call `finished` and `began`.
    """

    module: ClassVar[str]
    """What an application imports."""
    blocking: ClassVar[bool] = False
    """Its calls block: `send` and `send_many` are plain functions, which threads call at the same time."""
    drained: ClassVar[int] = 10_000
    """How many jobs it is given to drain: two or three seconds of work."""

    def __init__(self, place: Place) -> None:
        self.place = place

    async def open(self) -> None:  # noqa: B027 - not all have to
        """Connect, so that the first call costs what the others do."""

    async def close(self) -> None:  # noqa: B027
        """Disconnect."""

    @abstractmethod
    def send(self, payload: dict[str, Any]) -> Any:
        """Send one job that does nothing; awaited unless `blocking`."""

    @abstractmethod
    def send_stamp(self, due: float, delay: float) -> Any:
        """Send a job that notes how long after *due* it began; with a delay of so many seconds unless that is 0."""

    def send_many(self, payload: dict[str, Any], count: int, *, plain: bool = False) -> Any:
        """Send so many jobs that do nothing in its bulk way.

        Raises:
            NotImplementedError: it has none.
        """
        raise NotImplementedError

    @abstractmethod
    def worker(self) -> AbstractAsyncContextManager[Any]:
        """While entered, a worker runs in this process."""


class Tally:
    """What the handlers of this process have done."""

    def __init__(self) -> None:
        self.count = 0
        self.target = 0
        self.reached = 0.0
        self.lateness: list[float] = []
        self._lock = threading.Lock()

    def expect(self, count: int) -> None:
        """Begin to count."""
        self.count, self.target, self.reached = 0, count, 0.0

    def finished(self) -> None:
        """A job that does nothing is done; in a thread perhaps."""
        self.count += 1  # on the loop; from threads see finished_in_thread
        if self.count == self.target:
            self.reached = time.perf_counter()

    def finished_in_thread(self) -> None:
        """As `finished`, of a job that ran in one of several threads."""
        with self._lock:
            self.finished()

    def began(self, due: float) -> None:
        """A stamp has begun."""
        self.lateness.append(time.time() - due)


tally = Tally()

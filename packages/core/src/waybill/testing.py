"""Testing one's own jobs: a memory driver on a virtual clock, through the real path, and nothing sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from .drivers.memory import Enqueued, MemoryDriver
from .errors import ConfigurationError
from .jobs.job import Job
from .jobs.payload import PayloadError, Schema
from .jobs.registry import as_job
from .running.worker import Worker
from .sending.books import Books
from .sending.broker import Source
from .sending.service import JobService
from .timing import ZERO, Duration, Moment, Timer, parse_duration, parse_moment

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_ANY: Final = object()


class _VirtualTimer:
    __slots__ = ("callback", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self.loop = loop
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def fire(self) -> None:
        if self.callback is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._call)

    def _call(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class VirtualClock:
    """Time that passes only when a test says so. Delays, retries, leases and timeouts obey it.

    Args:
        now: where it starts; an aware datetime or ISO 8601 text.
    """

    def __init__(self, now: Moment = _EPOCH) -> None:
        self._now = parse_moment(now)
        self._start = self._now
        self._timers: list[tuple[datetime, int, _VirtualTimer]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The virtual time of day, aware UTC."""
        return self._now

    def monotonic(self) -> float:
        """Virtual seconds since the clock was made."""
        return (self._now - self._start).total_seconds()

    def call_later(self, delay: timedelta, callback: Callable[[], object]) -> Timer:
        """Call back on the running loop once the clock has advanced by *delay*."""
        timer = _VirtualTimer(asyncio.get_running_loop(), callback)
        if delay <= ZERO:
            timer.fire()
        else:
            with self._lock:
                due = self._now + min(delay, _LATEST - self._now)
                heapq.heappush(self._timers, (due, next(self._order), timer))
        return timer

    def advance(self, duration: Duration | float) -> None:
        """Let time pass; a bare number is seconds. What falls due is started in its order, once the loop runs."""
        self.advance_to(self._now + parse_duration(duration))

    def advance_to(self, moment: Moment) -> None:
        """Let time pass until *moment*.

        Raises:
            ValueError: that is in the past.
        """
        target = parse_moment(moment)
        if target < self._now:
            raise ValueError(f"a virtual clock goes forward only; {target} is before {self._now}")
        due: list[_VirtualTimer] = []
        with self._lock:
            self._now = target
            while self._timers and self._timers[0][0] <= target:
                due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            timer.fire()

    def __repr__(self) -> str:
        return f"VirtualClock({self._now.isoformat()})"


async def run_until_idle(service: JobService, **options: Any) -> int:
    """Run all that is due now, and what that sends in turn, through a real worker; how many runs were begun.

    Takes the options of `Worker`.
    """
    return await Worker(service, **options).run_until_idle()


def assert_enqueued(
    service: JobService,
    job: Job[Any, Any] | type[Job[Any, Any]] | str,
    *,
    payload: Any = _ANY,
    queue: str | None = None,
    times: int | None = None,
) -> list[Enqueued]:
    """Assert that a job was sent, and return what was.

    Args:
        service: on a MemoryDriver.
        job: the job, its class or its name.
        payload: as it was given, or as plain JSON values; any by default.
        queue: where; any by default.
        times: exactly how often; at least once by default.

    Raises:
        AssertionError: it was not; the message lists what was sent.
    """
    driver = _memory_driver(service)
    name = job if isinstance(job, str) else as_job(job).name
    read = _reader(job)
    wanted = payload if payload is _ANY else read(payload)
    found = [
        each
        for each in driver.enqueued
        if each.job_name == name
        and (queue is None or each.queue == service.rules.address(queue))
        and (payload is _ANY or read(each.payload) == wanted)
    ]
    if len(found) == times or (times is None and found):
        return found
    expected = "at least once" if times is None else f"{times} times"
    raise AssertionError(
        f"{name} was enqueued {len(found)} times, not {expected}"
        f"{'' if payload is _ANY else f', with {payload!r}'}{f', to {queue}' if queue else ''}. "
        f"Sent:{_listed(driver, name, wanted)}"
    )


def assert_not_enqueued(
    service: JobService,
    job: Job[Any, Any] | type[Job[Any, Any]] | str,
    *,
    payload: Any = _ANY,
    queue: str | None = None,
) -> None:
    """Assert that a job was not sent; what is left out counts as "any".

    Raises:
        AssertionError: it was; the message lists what was sent.
    """
    assert_enqueued(service, job, payload=payload, queue=queue, times=0)


def _listed(driver: MemoryDriver, name: str, wanted: Any) -> str:
    """What was sent, a line each, and how another payload of the same job differs from the wanted one."""
    lines = []
    for each in driver.enqueued:
        lines.append(f"\n  {each.job_name} to {each.queue}: {each.payload!r}")
        if each.job_name == name and wanted is not _ANY:
            lines += [
                f"\n      {place}: {what}" for place, what in _differences(msgspec.to_builtins(wanted), each.payload)
            ]
    return "".join(lines) or "\n  nothing"


def _differences(wanted: Any, sent: Any, place: str = "$") -> Iterator[tuple[str, str]]:
    if isinstance(wanted, dict) and isinstance(sent, dict):
        for key in [*wanted, *(each for each in sent if each not in wanted)]:
            if key not in sent:
                yield f"{place}.{key}", f"{wanted[key]!r} was expected, and is missing"
            elif key not in wanted:
                yield f"{place}.{key}", f"{sent[key]!r} was not expected"
            else:
                yield from _differences(wanted[key], sent[key], f"{place}.{key}")
    elif isinstance(wanted, list) and isinstance(sent, list) and len(wanted) == len(sent):
        for index, (one, other) in enumerate(zip(wanted, sent, strict=True)):
            yield from _differences(one, other, f"{place}[{index}]")
    elif wanted != sent:
        yield place, f"{sent!r}, and {wanted!r} was expected"


def _reader(job: Job[Any, Any] | type[Job[Any, Any]] | str) -> Callable[[Any], Any]:
    """From a payload in any accepted form to what the handler would get, so that two forms of one payload are equal."""
    schema = Schema() if isinstance(job, str) else as_job(job).payload_schema

    def read(payload: Any) -> Any:
        try:
            return schema.encode(payload)[1]
        except PayloadError:  # sent by name, or by an older version of the job
            return payload

    return read


def _memory_driver(service: JobService) -> MemoryDriver:
    driver = service.driver
    if not isinstance(driver, MemoryDriver):
        raise ConfigurationError(
            "assert_enqueued needs a service on a MemoryDriver object: JobService(MemoryDriver()), "
            "or `with use_driver(service, MemoryDriver()):`"
        )
    return driver


@contextlib.contextmanager
def use_driver(service: JobService, driver: Source) -> Iterator[JobService]:
    """Let an application's service use another driver for a while, for every queue; its own stays connected."""
    before = {name: getattr(service, name) for name in ("clock", "rules", "broker", "brokers", "books")}
    service.swap_driver(driver)
    service.brokers = {}
    service.books = Books(service, None)
    try:
        yield service
    finally:
        for name, value in before.items():
            setattr(service, name, value)


__all__ = [
    "Enqueued",
    "MemoryDriver",
    "VirtualClock",
    "assert_enqueued",
    "assert_not_enqueued",
    "run_until_idle",
    "use_driver",
]

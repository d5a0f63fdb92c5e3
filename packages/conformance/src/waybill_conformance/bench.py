"""What a case works with: drivers on one broker, queues nobody else uses, messages, and time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from waybill.driver import Delivery, Message, Purges, QueueDriver, QueueStats, ReadsDeadLetters
from waybill.envelope import Envelope, encode
from waybill.errors import DeadReason, WaybillError
from waybill.timing import ZERO

from .claims import Claims
from .harness import Harness
from .witness import Witness
from .wording import spoken

T = TypeVar("T")

TICK: Final = timedelta(milliseconds=50)
"""How finely a virtual clock is advanced while something is waited for."""
SOON: Final = timedelta(seconds=5)
"""A budget for what must happen, times the harness's patience; it is never waited out if it does."""
SLACK: Final = timedelta(milliseconds=5)
"""By how much this clock and the broker's may differ when something is said to come too early."""


class Bench:
    """The place where one case is carried out."""

    def __init__(self, harness: Harness, claims: Claims) -> None:
        self.harness, self.claims = harness, claims
        self.soon = SOON * harness.patience
        self.levels: list[str] = []
        self.late = 0.0
        """Seconds by which a wait for nothing ended late: more may be due then than there was to be."""
        self._witnesses: list[Witness] = []
        self._token = uuid.uuid4().hex[:8]
        self._numbers = itertools.count(1)
        self._queues: list[str] = []
        self.driver: Any = None

    # -- drivers ---------------------------------------------------------------------------------------

    async def open(self, *, lease: timedelta | None = None) -> Any:
        """One more driver on the same broker."""
        driver = await (self.harness.open() if lease is None else self.harness.open(lease=lease))
        return self.watch(driver)

    def watch(self, driver: QueueDriver) -> Any:
        """Hold a driver to the rules, and close it in the end."""
        witness = Witness(driver)
        self._witnesses.append(witness)
        return witness.driver

    @property
    def asked(self) -> bool:
        """Whether the case has called any verb at all."""
        return any(each.calls for each in self._witnesses)

    @contextlib.asynccontextmanager
    async def ready(self) -> AsyncIterator[Bench]:
        """With one driver open; afterwards nothing is left of the case, in the broker or here."""
        self.driver = await self.open()
        try:
            yield self
        finally:
            await self._clear_up()

    async def _clear_up(self) -> None:
        try:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(self.soon.total_seconds()):
                    await self._clear(await self.harness.open())
        finally:
            for each in self._witnesses:
                async with asyncio.timeout(self.soon.total_seconds() + 10):
                    await each.plain.close()

    async def _clear(self, driver: QueueDriver) -> None:
        try:
            for delivery in {(each.message.id, str(each.receipt)): each for each in self._handed()}.values():
                with contextlib.suppress(WaybillError):
                    await driver.ack(delivery)
            for queue in self._queues:
                with contextlib.suppress(WaybillError):
                    if isinstance(driver, Purges):
                        await driver.purge(queue, force=True)
                    if isinstance(driver, ReadsDeadLetters):
                        await driver.purge_dead(queue)
        finally:
            await driver.close()

    def _handed(self) -> list[Delivery]:
        return [delivery for each in self._witnesses for delivery in each.handed]

    # -- queues and messages ---------------------------------------------------------------------------

    def queue(self, name: str = "q") -> str:
        """The name of a queue that nobody has used."""
        fresh = f"{name}-{self._token}-{next(self._numbers)}"
        self._queues.append(fresh)
        return fresh

    def message(self, queue: str, body: bytes | None = None, **fields: Any) -> Message:
        """A job's message; *fields* are those of `Message`."""
        number = next(self._numbers)
        job_id = fields.pop("id", f"{self._token}-{number}")
        if body is None:
            body = encode(Envelope(job_name="conformance", job_id=job_id, queue=queue, enqueued_at=datetime.now(UTC)))
        return Message(id=job_id, queue=queue, body=body, **fields)

    async def put(self, queue: str, count: int = 1, **fields: Any) -> list[str]:
        """Enqueue messages one after the other; their ids."""
        messages = [self.message(queue, **fields) for _ in range(count)]
        for each in messages:
            await self.driver.enqueue(each)
        return [each.id for each in messages]

    def reason(self, error: str = "it failed") -> DeadReason:
        return DeadReason("permanent", error, 1, self.now().replace(microsecond=0))

    # -- receiving -------------------------------------------------------------------------------------

    async def receive(
        self, queue: str, *, limit: int = 1, within: timedelta | None = None, by: Any = None
    ) -> list[Delivery]:
        """What comes within that time ("soon" by default): up to *limit*, in as few calls as the driver needs."""
        driver, end = by or self.driver, self.timer(self.soon if within is None else within)
        lease = self.claims.capabilities.lease
        got: list[Delivery] = []
        while len(got) < limit:
            wait = ZERO if self.virtual else max(end.left(), ZERO)
            found = await driver.receive(queue, limit=limit - len(got), wait=wait)
            if found and not got and lease is not None and limit > 1:
                end = self.timer(min(end.left(), lease * 0.8))  # later on the first ones come again
            got += found
            if len(got) < limit and end.left() <= ZERO:
                break
            if len(got) < limit and self.virtual:
                await self.pass_time(min(TICK, end.left()))
        return got

    async def take(self, queue: str, *, by: Any = None, within: timedelta | None = None) -> Delivery:
        """The one delivery that must come soon."""
        got = await self.receive(queue, by=by, within=within)
        assert got, f"nothing came from {queue}, where a message must be"
        return got[0]

    async def drain(self, queue: str, count: int, *, by: Any = None) -> list[Delivery]:
        """Receive *count* messages, however many calls that takes, and see that there is no further one."""
        got = await self.receive(queue, limit=count, by=by)
        assert len(got) == count, f"{len(got)} of {count} messages came"
        await self.nothing(queue, by=by)
        return got

    async def nothing(self, queue: str, *, during: timedelta = ZERO, by: Any = None) -> None:
        """Nothing comes from the queue now, nor during that time."""
        driver = by or self.driver
        if self.virtual and during > ZERO:
            await self.pass_time(during)
        wait = ZERO if self.virtual else during
        begun = time.monotonic()
        got = await driver.receive(queue, limit=10, wait=wait)
        self.late = max(self.late, time.monotonic() - begun - wait.total_seconds())
        assert not got, (
            f"{len(got)} messages came from {queue}, where none must be: {[each.message.id for each in got]}"
        )

    # -- time ------------------------------------------------------------------------------------------

    @property
    def virtual(self) -> bool:
        return self.harness.clock is not None

    def now(self) -> datetime:
        """The time of day that the driver sees."""
        return datetime.now(UTC) if self.harness.clock is None else self.harness.clock.now()

    async def pass_time(self, duration: timedelta) -> None:
        """Let time pass: at once where it is virtual."""
        if self.harness.clock is None:
            await asyncio.sleep(duration.total_seconds())
        else:
            self.harness.clock.advance(duration)
            await asyncio.sleep(0)

    def timer(self, duration: timedelta) -> Timer:
        """Measures from now on."""
        return Timer(self, duration)

    async def ended(self, call: Awaitable[T], *, within: timedelta | None = None) -> T:
        """The result of a call that must end within that time ("soon" by default)."""
        end = self.timer(self.soon if within is None else within)
        task = asyncio.ensure_future(call)
        if not self.virtual:
            await asyncio.wait([task], timeout=end.left().total_seconds())
        real = time.monotonic() + self.soon.total_seconds()
        while self.virtual and not task.done() and time.monotonic() < real:
            await asyncio.wait([task], timeout=0.002)  # a driver's own threads work in real time
            if not task.done() and end.left() > ZERO:
                await self.pass_time(min(TICK, end.left()))
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1)
            raise AssertionError(f"a call did not end within {end.duration.total_seconds():g} seconds")
        return task.result()

    async def begun(self, call: Awaitable[T]) -> asyncio.Task[T]:
        """A call under way: it had time to reach the broker, and waits there."""
        task = asyncio.ensure_future(call)
        await asyncio.wait([task], timeout=0.05)
        return task

    @property
    def lease(self) -> timedelta:
        """The claimed lease, which cases are given to have."""
        lease = self.claims.capabilities.lease
        assert lease is not None
        return lease

    # -- telling ---------------------------------------------------------------------------------------

    def level(self, text: str, duration: timedelta | None = None) -> None:
        """Add how far the proof went to the ledger: a text, and a duration that belongs to it."""
        self.levels.append(text if duration is None else f"{text} {spoken(duration)}")

    async def counted(self, queue: str, **wanted: int) -> None:
        """The counts become these, where the broker tells them at all; they may take "soon"."""
        end = self.timer(self.soon)
        while True:
            stats: QueueStats = await self.driver.stats(queue)
            told = {name: getattr(stats, name) for name in wanted}
            if all(told[name] in (number, None) for name, number in wanted.items()):
                return
            assert end.left() > ZERO, f"the counts are {told}, and should be {wanted}"
            await self.pass_time(TICK)


class Timer:
    """Measures time as the driver sees it."""

    def __init__(self, bench: Bench, duration: timedelta) -> None:
        self._bench, self.duration = bench, duration
        self._start, self._real = bench.now(), time.monotonic()

    def passed(self) -> timedelta:
        if self._bench.virtual:
            return self._bench.now() - self._start
        return timedelta(seconds=time.monotonic() - self._real)

    def left(self) -> timedelta:
        return self.duration - self.passed()


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    """The message ids of deliveries, in order."""
    return [each.message.id for each in deliveries]

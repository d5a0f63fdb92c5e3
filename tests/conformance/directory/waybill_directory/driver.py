"""Jobs as files in a directory, shared by the processes of one machine.

A message is one file in its queue's folder, and where it is on its way is told by the file's name alone, such as
`00001795500000000000.leased.1.6f1c….a41b…`: from when on anybody may take it, in microseconds (when it is due, or when
its lease ends); "waiting" or "leased"; attempts begun; a digest of the message's id; and a part that is new at each
change, so that a stale receipt names no file. Each change is one rename. The kernel lets one process rename a file and
tells the others that it is gone; that is the only lock. A lease that ends needs nobody to end it: its file just waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from waybill.driver import BrokerUrl, Capabilities, Delivery, Message, QueueStats
from waybill.envelope import unwrap, wrap
from waybill.errors import BrokerUnavailableError, DriverClosedError, EnqueueUnknownError, LeaseLostError
from waybill.timing import ZERO, Clock, SystemClock

T = TypeVar("T")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Options:
    lease: timedelta = timedelta(seconds=60)
    timeout: timedelta = timedelta(seconds=10)
    poll: timedelta = timedelta(milliseconds=50)


class Name(NamedTuple):
    """What a file's name tells."""

    at: datetime
    state: str
    attempt: int
    key: str

    @classmethod
    def parse(cls, text: str) -> Name:
        match text.split("."):
            case [at, ("waiting" | "leased") as state, attempt, key, _] if (at + attempt).isdecimal():
                return cls(EPOCH + timedelta(microseconds=int(at)), state, int(attempt), key)
        return cls(EPOCH, "waiting", 0, digest(text))  # another program has put it here

    def __str__(self) -> str:
        at = (self.at - EPOCH) // timedelta(microseconds=1)
        return f"{at:020}.{self.state}.{self.attempt}.{self.key}.{uuid.uuid4().hex}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class DirectoryDriver:
    """Every verb is a listing, a rename or an unlink, done on one thread of the driver's own."""

    def __init__(self, path: str | Path, *, clock: Clock | None = None, **options: timedelta) -> None:
        self._root, self._clock, self._options = Path(path), clock or SystemClock(), Options(**options)
        self._thread: ThreadPoolExecutor | None = None

    @classmethod
    def from_url(cls, url: BrokerUrl) -> DirectoryDriver:
        return cls(url.path, **asdict(url.options(Options)))

    def clone(self) -> DirectoryDriver:
        return DirectoryDriver(self._root, clock=self._clock, **asdict(self._options))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            max_message_bytes=None,
            delay_resolution=self._options.poll,
            lease=self._options.lease,
            durability="host-lazy",  # nothing is flushed to the disk: a power cut may take the last messages along
            fencing="strict",
            idempotent_enqueue=None,
            exact_attempts=True,
            ordering="none",
        )

    async def open(self) -> None:
        if self._thread is None:
            self._thread, self._closing = ThreadPoolExecutor(1, "waybill-directory"), asyncio.Event()
            await self._call(lambda: self._root.mkdir(exist_ok=True))

    async def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)  # it still does what it was given; a dead disk holds nobody up
            self._thread = None
            self._closing.set()

    # -- the six verbs -------------------------------------------------------------------------------------
    async def enqueue(self, message: Message) -> str:
        return await self.enqueue_at(message, self._clock.now())

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        return await self.enqueue_at(message, self._clock.now() + delay)

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        try:
            await self._call(self._store, message, max(when, self._clock.now()))
        except BrokerUnavailableError as error:
            if isinstance(error.__cause__, TimeoutError):  # it may still happen
                raise EnqueueUnknownError(message.id, str(error)) from error
            raise
        return message.id

    async def receive(self, queue: str, *, limit: int, wait: timedelta) -> list[Delivery]:
        end = self._clock.now() + wait
        while True:
            taken = await self._call(self._take, queue, limit, undo=self._return)
            left = end - self._clock.now()
            if taken or left <= ZERO:
                return taken
            # A directory wakes nobody, so it is looked at again. A broker that can wait is asked to wait.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, self._options.poll).total_seconds()):
                    await self._closing.wait()

    async def ack(self, delivery: Delivery) -> None:
        await self._call(self._settle, delivery, None)

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        await self._call(self._settle, delivery, self._clock.now() + delay, "waiting", delivery.attempt)

    # -- further verbs: to define one is to claim it -------------------------------------------------------
    async def release(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        await self._call(self._settle, delivery, self._clock.now() + delay, "waiting", delivery.attempt - 1)

    async def extend(self, delivery: Delivery) -> Delivery:
        until = self._clock.now() + self._options.lease
        receipt = await self._call(self._settle, delivery, until, "leased", delivery.attempt)
        return Delivery(delivery.message, delivery.attempt, receipt, until)

    async def stats(self, queue: str) -> QueueStats:
        now, names = self._clock.now(), await self._call(self._names, queue)
        later = [name.state for name in names.values() if name.at > now]
        return QueueStats(len(names) - len(later), later.count("waiting"), later.count("leased"), dead=None)

    # -- what the thread does ------------------------------------------------------------------------------
    def _names(self, queue: str) -> dict[str, Name]:
        return {each.name: Name.parse(each.name) for each in sorted((self._root / queue).glob("[!.]*"))}

    def _store(self, message: Message, at: datetime) -> None:
        folder, name = self._root / message.queue, str(Name(at, "waiting", 0, digest(message.id)))
        folder.mkdir(exist_ok=True)
        (folder / f".{name}").write_bytes(wrap(message))
        (folder / f".{name}").rename(folder / name)  # whole, or not at all

    def _take(self, queue: str, limit: int) -> list[Delivery]:
        taken: list[Delivery] = []
        now = self._clock.now()
        for text, name in self._names(queue).items():
            if len(taken) < limit and name.at <= now:
                held = name._replace(at=now + self._options.lease, state="leased", attempt=name.attempt + 1)
                with contextlib.suppress(FileNotFoundError):  # another process was quicker
                    file = (self._root / queue / text).rename(self._root / queue / str(held))
                    message = unwrap(file.read_bytes(), queue=queue, broker_id=name.key).message
                    taken.append(Delivery(message, held.attempt, file.name, held.at))
        return taken

    def _return(self, taking: Future[list[Delivery]]) -> None:
        for delivery in taking.result():
            self._settle(delivery, self._clock.now(), "waiting", delivery.attempt - 1)

    def _settle(self, delivery: Delivery, at: datetime | None, state: str = "", attempt: int = 0) -> str:
        """Rename the delivery's file, or (*at* is None) remove it."""
        file = self._root / delivery.message.queue / str(delivery.receipt)
        try:
            if at is None:
                file.unlink()
                return ""
            return file.rename(file.with_name(str(Name(at, state, attempt, Name.parse(file.name).key)))).name
        except FileNotFoundError:
            raise LeaseLostError(f"attempt {delivery.attempt} of job {delivery.message.id} is over") from None

    async def _call(self, work: Callable[..., T], *args: Any, undo: Callable[[Future[T]], None] | None = None) -> T:
        """Let the thread do it, within the timeout; *undo* what nobody waits for any more."""
        if self._thread is None:
            raise DriverClosedError(f"the driver of {self._root} is closed; open() it")
        future = self._thread.submit(work, *args)
        try:
            async with asyncio.timeout(self._options.timeout.total_seconds()):
                return await asyncio.wrap_future(future)
        except (OSError, asyncio.CancelledError) as error:  # TimeoutError is an OSError
            if undo is not None and self._thread is not None:  # a closed driver's leases end
                self._thread.submit(undo, future)
            if isinstance(error, OSError):
                raise BrokerUnavailableError(f"{self._root}: {error!r}") from error
            raise

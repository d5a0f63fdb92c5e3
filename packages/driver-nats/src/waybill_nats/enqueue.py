"""Storing messages, each once: a repeat of an id that the stream remembers stores nothing and succeeds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from waybill.driver import Due
from waybill.envelope import Message
from waybill.errors import WaybillError

from .failures import EXPECTED, AbsentError, while_sending
from .names import Names, token
from .parcel import Parcel, due_at, pack
from .server import PAUSES, Server, Stored, read_stored
from .topology import Queue, Topology
from .unique import UniqueKeys

_AT_ONCE: Final = 1000
_BYTES_AT_ONCE: Final = 8 * 2**20
"""What may be under way before the first answers are waited for."""

Item = tuple[Message, Due]


class Sending:
    """The senders of one open driver."""

    def __init__(self, server: Server, names: Names, topology: Topology, keys: UniqueKeys) -> None:
        self._server, self._names, self._topology, self._keys = server, names, topology, keys

    async def enqueue(self, items: Sequence[Item]) -> list[str | WaybillError]:
        """One outcome per message, in order."""
        self._server.check_caller()
        batch = _Batch(items)
        if any(due is not None for _, due in items):
            await self._server.ask_the_time()
        waiting: list[int] = []  # for an answer; most need none
        for number, (message, _) in enumerate(items):
            known = self._topology.known_sending.get(message.queue)
            if known is None or message.unique is not None:
                waiting.append(number)
            else:
                self._pack(batch, number, known)
        if waiting:
            await asyncio.gather(*(self._prepare(batch, number) for number in waiting))
        for numbers in batch.parts():
            await self._send(batch, numbers)
        if batch.absent:
            await self._send_again(batch)
        for version in batch.untaken():
            with contextlib.suppress(*EXPECTED):  # then it is free when it has been held for nothing for a while
                await self._keys.give_up(version)
        return batch.outcomes

    async def _prepare(self, batch: _Batch, number: int) -> None:
        """Everything that comes before a message is sent: its stream, its place there, its key."""
        message, _ = batch.items[number]
        try:
            self._pack(batch, number, await self._topology.to_send(message.queue))
            if message.unique is not None and number not in batch.keys:
                batch.keys[number] = await self._keys.take(message)
        except WaybillError as error:
            batch.outcomes[number] = error
        except EXPECTED as error:
            batch.fail(number, error, self._server.address.where, stored=False)

    def _pack(self, batch: _Batch, number: int, queue: Queue) -> None:
        message, due = batch.items[number]
        at = due_at(due, self._server.clock)
        batch.parcels[number] = pack(self._names, queue, message, message.priority, name=token(message.id), due=at)

    async def _send(self, batch: _Batch, numbers: Sequence[int]) -> None:
        waiting: dict[int, asyncio.Future[bytes]] = {}
        error: Exception | None = None
        try:
            async with self._server.deadline():
                link = await self._server.link()
                for number in numbers:
                    parcel = batch.parcels[number]
                    assert parcel is not None
                    waiting[number] = link.ask(*parcel)
                link.hurry()
                if waiting:
                    await asyncio.wait(waiting.values())
        except EXPECTED as failure:
            error = failure
        for number in numbers:
            future = waiting.get(number)
            if future is None or not future.done() or future.cancelled():
                assert error is not None
                batch.fail(number, error, self._server.address.where, stored=number in waiting)
                continue
            try:
                batch.accept(number, read_stored(future.result()))
            except EXPECTED as failure:
                if isinstance(failure, AbsentError):
                    self._topology.forget(batch.items[number][0].queue)
                    batch.absent.append(number)
                batch.fail(number, failure, self._server.address.where, stored=True)

    async def _send_again(self, batch: _Batch) -> None:
        """Store what no stream listened for, hence was not stored: the stream is made anew, or was only being made."""
        for pause in PAUSES:
            await asyncio.sleep(pause)
            for number in batch.absent:
                batch.outcomes[number] = ""
            await asyncio.gather(*(self._prepare(batch, number) for number in batch.absent))
            batch.absent.clear()
            for numbers in batch.parts():
                await self._send(batch, numbers)
            if not batch.absent:
                return


class _Batch:
    """Messages that are sent together, and what becomes of each."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.outcomes: list[str | WaybillError] = [""] * len(items)
        self.parcels: list[Parcel | None] = [None] * len(items)
        self.keys: dict[int, int] = {}
        """The entry that was made for a message's key."""
        self.absent: list[int] = []
        """The numbers of those that no stream listened for."""
        self._kept: set[int] = set()

    def parts(self) -> list[list[int]]:
        """The numbers of what is sent before any answer is waited for."""
        parts: list[list[int]] = []
        size = 0
        for number, parcel in enumerate(self.parcels):
            if parcel is None or self.outcomes[number]:
                continue
            size += len(parcel.data)
            if not parts or len(parts[-1]) == _AT_ONCE or size > _BYTES_AT_ONCE:
                parts.append([])
                size = len(parcel.data)
            parts[-1].append(number)
        return parts

    def accept(self, number: int, stored: Stored) -> None:
        self.outcomes[number] = f"{stored.stream}:{stored.seq}"
        # Of a repeat nothing was stored: a key that was free and is taken now is taken for nothing.
        if not stored.duplicate:
            self._kept.add(number)

    def fail(self, number: int, error: Exception, where: str, *, stored: bool) -> None:
        """Tell of a failure; *stored*: the message itself was sent."""
        if getattr(error, "sent", False):
            if stored:
                self._kept.add(number)
            else:
                error = _unsent(error)
        failed = self.outcomes[number] = while_sending(error, where, self.items[number][0])
        failed.__cause__ = error

    def untaken(self) -> list[int]:
        """The entries of keys to let go."""
        return [version for number, version in self.keys.items() if version and number not in self._kept]


def _unsent(error: Exception) -> Exception:
    """The same error, of a message that was not sent."""
    error.sent = False  # type: ignore[attr-defined]
    return error

"""A channel as asyncio has it: what is asked for is awaited, and when it ends, all who wait are told why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from pika import BasicProperties, spec
from pika.channel import Channel as PikaChannel

from .failures import LostError

T = TypeVar("T")
OnMessage = Callable[[spec.Basic.Deliver, BasicProperties, bytes], None]


class Channel:
    """One channel; `ended` tells why it is no more."""

    def __init__(self, raw: PikaChannel) -> None:
        self.raw = raw
        self.ended: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._asked: set[asyncio.Future[Any]] = set()
        self._watchers: list[Callable[[Exception], object]] = []
        self._tags = 0
        raw.add_on_close_callback(self._on_close)

    def watch(self, ended: Callable[[Exception], object]) -> None:
        """Have this called once, when the channel ends."""
        self._watchers.append(ended)

    async def ask(self, method: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Call a method of pika's channel that has an answer; the answer.

        Raises:
            LostError: the channel ended, or had; its cause is what pika says.
        """
        return await self.begin(method, *arguments, **keywords)

    def begin(self, method: Callable[..., Any], *arguments: Any, **keywords: Any) -> asyncio.Future[Any]:
        """As `ask`, sent now and awaited later."""
        self.check()
        asked: asyncio.Future[Any] = self._loop.create_future()
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)

        method(*arguments, **keywords, callback=lambda frame: _settle(asked, frame.method))
        return asked

    def check(self) -> None:
        """Refuse to be used after the end."""
        if self.ended is not None:
            raise LostError(str(self.ended), sent=False) from self.ended

    async def consume(self, queue: str, prefetch: int, on_message: OnMessage) -> str:
        """Have a queue's messages pushed, at most so many that are not settled; the consumer's tag."""
        self._tags += 1
        tag = f"waybill-{self._tags}"

        def deliver(_: Any, method: spec.Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            on_message(method, properties, body)

        # The two belong together: the limit is that of the consumer that comes next.
        limited = self.begin(self.raw.basic_qos, prefetch_count=prefetch)
        consuming = self.begin(self.raw.basic_consume, queue, deliver, consumer_tag=tag)
        await limited
        await consuming
        return tag

    async def cancel(self, tag: str) -> None:
        """End a consumer; what the server has pushed by then still arrives."""
        cancelled = self.begin(self.raw.basic_cancel, tag)
        # pika would send back what arrives until the answer, and each of those would count as a failed delivery.
        self.raw._cancelled.discard(tag)  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue]
        await cancelled

    async def get(self, queue: str, on_message: OnMessage) -> bool:
        """Take one message, if there is any, as the whole cluster sees it; whether there was one."""
        self.check()
        answered: asyncio.Future[bool] = self._loop.create_future()
        self._asked.add(answered)
        answered.add_done_callback(self._asked.discard)

        def got(_: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
            on_message(method, properties, body)
            _settle(answered, True)

        self.raw.add_callback(lambda _: _settle(answered, False), [spec.Basic.GetEmpty])
        self.raw.basic_get(queue, got)
        return await answered

    async def barrier(self) -> None:
        """Wait until the server has dealt with all that was sent before."""
        await self.ask(self.raw.basic_qos, prefetch_count=1)

    async def close(self) -> None:
        """Close it; what it holds goes back to its queues."""
        if self.ended is None:
            gone: asyncio.Future[None] = self._loop.create_future()
            self.watch(lambda _: _settle(gone, None))
            if self.raw.is_open:
                self.raw.close()
            await gone

    def _on_close(self, _: PikaChannel, reason: Exception) -> None:
        self.ended = reason
        for asked in list(self._asked):
            if not asked.done():
                lost = LostError(str(reason), sent=True)
                lost.__cause__ = reason
                asked.set_exception(lost)
                asked.exception()  # who waits for it sees it; if nobody does, that is no fault
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher(reason)


def _settle(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)

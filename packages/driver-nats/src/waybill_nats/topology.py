"""Streams and consumers that are there: made when they are first needed, and checked when they were there before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from waybill.errors import ConfigurationError

from .failures import CONSUMER_MISSING, IN_USE, OVERLAPS, STREAM_MISSING, RefusedError, closed
from .names import LATER, Names
from .server import Server
from .streams import SCHEDULES, consumers, drift, letters_stream, loses, queue_stream

_logger: Final = logging.getLogger("waybill.nats")


@dataclass(frozen=True, slots=True)
class Lane:
    """The messages of one level of a queue, for a pull."""

    queue: str
    level: int
    stream: str
    consumer: str

    @property
    def subject(self) -> str:
        """Where to pull."""
        return f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.consumer}"


@dataclass(frozen=True, slots=True)
class Queue:
    """The stream of a queue, as it is."""

    name: str
    scheduling: bool
    """Whether the server keeps its schedules."""
    lanes: Sequence[Lane] = ()
    """The most urgent first."""
    parking: Lane | None = None
    """Where messages may be parked; None: no receiver need look there."""


class Topology:
    """What this driver knows of its streams."""

    def __init__(self, server: Server, names: Names) -> None:
        self._server, self._names = server, names
        self._sending: dict[str, asyncio.Future[Queue]] = {}
        self._receiving: dict[str, asyncio.Future[Queue]] = {}
        self._letters: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Future[Any]] = set()
        self.known_sending: dict[str, Queue] = {}
        self.known_receiving: dict[str, Queue] = {}

    async def to_send(self, queue: str) -> Queue:
        """A queue whose stream is there.

        Raises:
            ConfigurationError: it may not be made, or would lose jobs.
        """
        return self.known_sending.get(queue) or await self._once(self._sending, queue, self._find_stream(queue))

    async def to_receive(self, queue: str) -> Queue:
        """A queue whose stream and consumers are there.

        Raises:
            ConfigurationError: they may not be made, would lose jobs, or have another lease.
        """
        return self.known_receiving.get(queue) or await self._once(self._receiving, queue, self._find_consumers(queue))

    async def to_bury(self) -> None:
        """The stream of the dead letters is there."""
        if self._names.dead not in self._letters:
            wanted = letters_stream(self._names, self._server.options)
            await self._once(self._letters, self._names.dead, self._have_letters(wanted))

    def forget(self, queue: str) -> None:
        """Look again: something was found missing."""
        for known in (self._sending, self._receiving, self.known_sending, self.known_receiving):
            known.pop(queue, None)
        self._letters.clear()

    async def exists(self, queue: str) -> bool:
        """Whether anybody has used the queue."""
        if queue in self.known_sending:
            return True
        try:
            await self._server.api(f"STREAM.INFO.{self._names.stream(queue)}")
        except RefusedError as error:
            if error.number == STREAM_MISSING:
                return False
            raise
        return True

    async def is_there(self, lane: Lane) -> bool:
        """Whether the server has the consumer."""
        try:
            await self._server.api(f"CONSUMER.INFO.{lane.stream}.{lane.consumer}")
        except RefusedError as error:
            if error.number in (CONSUMER_MISSING, STREAM_MISSING):
                return False
            raise
        return True

    async def end(self) -> None:
        """The driver is being closed."""
        under_way = [each for each in self._tasks if not each.done()]
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)

    # ---------------------------------------------------------------------------------------------------

    async def _once(self, known: dict[str, asyncio.Future[Any]], name: str, work: Coroutine[Any, Any, Any]) -> Any:
        """What the work returns; who comes meanwhile waits for it, and whoever is cancelled does not end it."""
        future = known.get(name)
        if future is None:
            future = known[name] = task = asyncio.ensure_future(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            future.add_done_callback(lambda done: _settle(known, name, done))
        else:
            work.close()
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if future.cancelled() and self._server.closing:  # the work was ended, and not this call
                raise closed() from None
            raise

    async def _find_stream(self, queue: str) -> Queue:
        server, names = self._server, self._names
        options, link = server.options, await server.link()
        wants = options.scheduler != "park" and not options.limited and link.version >= SCHEDULES
        wanted = queue_stream(names, options, queue, scheduling=wants)
        info = await self.have_stream(wanted)
        config = info["config"]
        why = loses(config)
        if why is not None:
            raise ConfigurationError(
                f"{server.address.where}: the stream {wanted['name']} of queue {queue!r} would lose jobs: {why}. "
                "Nothing was changed. Mend it (`nats stream edit`), or use another namespace."
            )
        # A server that does not know a setting drops it without a word: only what it echoes counts.
        scheduling = bool(config.get("allow_msg_schedules"))
        if options.scheduler == "native" and not scheduling:
            raise ConfigurationError(
                f"{server.address.where}: scheduler=native, and the stream {wanted['name']} keeps no schedules; it "
                "needs NATS 2.12 or newer, and allow_msg_schedules. Nothing was changed. Use scheduler=auto."
            )
        found = self.known_sending[queue] = Queue(queue, scheduling)
        return found

    async def have_stream(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The stream as it is; it is made if it is missing."""
        server, name = self._server, wanted["name"]
        try:
            info = await server.api(f"STREAM.INFO.{name}")
        except RefusedError as error:
            if error.number != STREAM_MISSING or server.options.create == "never":
                raise
            try:
                return await self._make_stream(wanted)
            except RefusedError as refused:
                if refused.number not in (IN_USE, OVERLAPS):
                    raise
                info = await self._made_meanwhile(name, refused)
        found = info["config"]
        if found.get("num_replicas", 1) < wanted["num_replicas"]:
            raise ConfigurationError(
                f"{server.address.where}: the stream {name} is kept on {found.get('num_replicas', 1)} servers, and "
                f"replicas={wanted['num_replicas']}. Nothing was changed. Run `nats stream edit {name} "
                f"--replicas={wanted['num_replicas']}`, or correct replicas=."
            )
        for setting, value, other in drift(wanted, found):
            if setting != "discard":  # which depends on the server's version when the stream was made
                _logger.warning("%s: stream %s has %s=%r, not %r", server.address.where, name, setting, other, value)
        return info  # type: ignore[no-any-return]

    async def _make_stream(self, wanted: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await self._server.api(f"STREAM.CREATE.{wanted['name']}", **wanted)
        return answer

    async def _made_meanwhile(self, name: str, refused: RefusedError) -> dict[str, Any]:
        """The stream that another process was faster to make, or the refusal if there is none."""
        try:
            info: dict[str, Any] = await self._server.api(f"STREAM.INFO.{name}")
        except RefusedError as error:
            raise (refused if error.number == STREAM_MISSING else error) from None
        return info

    async def _find_consumers(self, queue: str) -> Queue:
        sending = await self.to_send(queue)
        server, names = self._server, self._names
        wanted = consumers(names, server.options, queue, scheduling=sending.scheduling)
        infos = await asyncio.gather(*(self._have_consumer(queue, name, config) for name, config in wanted.items()))
        parked = next(info for info in infos if info["name"] == LATER)
        anything_parked = parked["num_pending"] or parked["num_ack_pending"]
        stream = names.stream(queue)
        levels = range(server.options.priorities - 1, -1, -1)
        found = self.known_receiving[queue] = Queue(
            queue,
            sending.scheduling,
            [Lane(queue, level, stream, f"level{level}") for level in levels],
            None if sending.scheduling and not anything_parked else Lane(queue, -1, stream, LATER),
        )
        return found

    async def _have_consumer(self, queue: str, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
        server, stream = self._server, self._names.stream(queue)
        try:
            info = await server.api(f"CONSUMER.INFO.{stream}.{name}")
        except RefusedError as error:
            if error.number != CONSUMER_MISSING or server.options.create == "never":
                raise
            return await self._make_consumer(stream, name, wanted)
        found = info["config"]
        if found["ack_wait"] != wanted["ack_wait"]:
            if not server.options.change:
                raise ConfigurationError(
                    f"{server.address.where}: lease={_spoken(wanted['ack_wait'])} was asked, and queue {queue!r} has a "
                    f"lease of {_spoken(found['ack_wait'])} stored with it. Nothing was changed. Give that, or "
                    "change=true to store this one for everybody."
                )
            return await self._make_consumer(stream, name, wanted)
        if found.get("max_deliver", -1) > 0 or found.get("filter_subject") != wanted["filter_subject"]:
            raise ConfigurationError(
                f"{server.address.where}: the consumer {name} of stream {stream} would lose jobs: max_deliver is "
                f"{found.get('max_deliver')}, its filter {found.get('filter_subject')!r}. Nothing was changed. Delete "
                "it; it is made again."
            )
        return info  # type: ignore[no-any-return]

    async def _make_consumer(self, stream: str, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = await self._server.api(
            f"CONSUMER.DURABLE.CREATE.{stream}.{name}", stream_name=stream, config=wanted
        )
        return made

    async def _have_letters(self, wanted: dict[str, Any]) -> None:
        await self.have_stream(wanted)


def _settle(known: dict[str, asyncio.Future[Any]], name: str, done: asyncio.Future[Any]) -> None:
    """Keep what was found, and try a failure again the next time."""
    if done.cancelled() or done.exception() is not None:
        known.pop(name, None)


def _spoken(nanoseconds: int) -> str:
    return f"{timedelta(microseconds=nanoseconds // 1000).total_seconds():g}s"

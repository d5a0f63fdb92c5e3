"""A TCP proxy that makes a network as bad as a test needs it."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from ..harness import Direction
from .link import Fuse, Link, Way
from .ports import LOOPBACK, free_port

T = TypeVar("T")
PATIENCE = 10.0  # seconds for what takes microseconds
BACKLOG = 128


class TcpProxy:
    """Listens on a loopback port of its own and forwards to `upstream`. Any thread may use it.

    `up` is the way to the server and `down` the way to the client, each with delay, rate, segment and counters.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.up, self.down = Way(), Way()
        self.connections = 0
        """So many were accepted, ever."""
        self.upstream = upstream
        self._links: dict[asyncio.Task[None], Link] = {}
        self._port = free_port()
        # It holds the port while the door is shut; a socket that is bound and does not listen refuses connections.
        self._place = self._bind()
        self._door: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy to {upstream[0]}:{upstream[1]}", daemon=True)
        self._thread.start()
        self._flowing = self._call(self._open())

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect."""
        return LOOPBACK, self._port

    @property
    def upstream(self) -> tuple[str, int]:
        """Where new connections are forwarded to."""
        return self._upstream

    @upstream.setter
    def upstream(self, address: tuple[str, int]) -> None:
        self._upstream = address
        # Looked up here, as the proxy's own thread must never wait for a name.
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        self._family, self._resolved = found[0], found[4]

    @property
    def open(self) -> int:
        """So many connections are open now."""
        return len(self._links)

    def cut(self) -> int:
        """Reset every open connection; new ones are accepted. Returns how many it were."""
        return self._call(self._cut())

    def cut_after(self, *, messages: int, direction: Direction = "up") -> Fuse:
        """Reset the connection that brings the k-th chunk from now on that way, just before it is forwarded.

        A chunk is what one read gave: a small message, as long as its sender waits for an answer to each.
        """
        if messages < 1:
            raise ValueError(f"messages counts from 1, the next chunk, not {messages}")
        fuse = Fuse(messages)
        {"up": self.up, "down": self.down}[direction].fuses.append(fuse)
        return fuse

    def freeze(self) -> None:
        """Accept connections and bytes, and forward nothing, not even a goodbye."""
        self._loop.call_soon_threadsafe(self._flowing.clear)
        self._call(asyncio.sleep(0))

    def thaw(self) -> None:
        """Forward again, beginning with what was held back."""
        self._loop.call_soon_threadsafe(self._flowing.set)
        self._call(asyncio.sleep(0))

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        self._call(self._shut_door())

    def accept(self) -> None:
        """Accept new connections again."""
        self._call(self._open_door())

    def heal(self) -> None:
        """Undo all of the above but what was cut."""
        self.up.heal()
        self.down.heal()
        self.thaw()
        self.accept()

    def close(self) -> None:
        """Reset what is open, close every socket, end the thread. A second call does nothing."""
        if self._loop.is_closed():
            return
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- in the thread of the loop ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("this proxy is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def _bind(self) -> socket.socket:
        place = socket.socket()
        place.setblocking(False)
        # Both: two sockets on the port, and a port whose last connections are still closing.
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        place.bind((LOOPBACK, self._port))
        return place

    async def _open(self) -> asyncio.Event:
        await self._open_door()
        flowing = asyncio.Event()
        flowing.set()
        return flowing

    async def _open_door(self) -> None:
        if self._door is None:
            self._door = self._bind()
            self._door.listen(BACKLOG)
            self._loop.add_reader(self._door, self._admit, self._door)

    async def _shut_door(self) -> None:
        if self._door is not None:
            self._admit(self._door)
            self._loop.remove_reader(self._door)
            self._door.close()
            self._door = None

    def _admit(self, door: socket.socket) -> None:
        # All that the kernel has connected: for a client that is what counts, whether or not we got round to it.
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = door.accept()
                self.connections += 1
                link = Link(client, self._flowing, self.up, self.down)
                task = self._loop.create_task(link.run(self._family, self._resolved))
                self._links[task] = link
                task.add_done_callback(self._part)

    def _part(self, task: asyncio.Task[None]) -> None:
        self._links.pop(task).close()  # which it has not done itself if it was cancelled before its first step

    async def _cut(self) -> int:
        if self._door is not None:
            self._admit(self._door)
        links = set(self._links)
        for link in links:
            link.cancel()
        if links:
            await asyncio.wait(links)
        return len(links)

    async def _close(self) -> None:
        await self._shut_door()
        await self._cut()

"""One connection through the proxy, and what is done to its bytes on either way."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

CHUNK = 65_536
IN_FLIGHT = 64  # chunks on a slow link, until the sender feels it
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
SLICES_PER_SECOND = 50


class Fuse:
    """Blows a connection just before its k-th chunk from now is forwarded; once."""

    def __init__(self, chunks: int) -> None:
        self._left = chunks
        self._fired = threading.Event()

    @property
    def fired(self) -> bool:
        """Whether a connection was cut by it."""
        return self._fired.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until it has fired; whether it has."""
        return self._fired.wait(seconds)

    def burn(self) -> bool:
        """One more chunk; whether it must not pass."""
        self._left -= 1
        if self._left == 0:
            self._fired.set()
            return True
        return False


@dataclass
class Way:
    """One direction. The first three may be set at any time, for the chunks that come after."""

    delay: timedelta = timedelta(0)
    """How much later each chunk arrives; the order stays, and the throughput."""
    rate: int | None = None
    """Bytes per second on each connection."""
    segment: int | None = None
    """The most bytes that are sent at once."""
    forwarded: int = 0
    """Bytes, so far."""
    chunks: int = 0
    """So many reads they came in."""
    fuses: list[Fuse] = field(default_factory=list[Fuse])

    def heal(self) -> None:
        """Fast, in one piece, uncut."""
        self.delay, self.rate, self.segment = timedelta(0), None, None
        self.fuses.clear()

    def check(self) -> None:
        """Refuse to forward the chunk that a fuse was waiting for."""
        # Every fuse counts every chunk, whether or not another one blows.
        blown = [fuse for fuse in self.fuses if fuse.burn()]
        for fuse in blown:
            self.fuses.remove(fuse)
        if blown:
            raise ConnectionAbortedError("cut on purpose")

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The chunk in the sizes in which it is to be sent."""
        size = self.segment or len(data)
        if self.rate:
            size = min(size, max(1, self.rate // SLICES_PER_SECOND))
        return (data[start : start + size] for start in range(0, len(data), size))


class Link:
    """A client's connection with the server's that belongs to it."""

    def __init__(self, client: socket.socket, flowing: asyncio.Event, up: Way, down: Way) -> None:
        self._client = client
        self._server: socket.socket | None = None
        self._flowing = flowing
        self._up, self._down = up, down
        self._whole = False

    async def run(self, family: socket.AddressFamily, upstream: tuple[object, ...]) -> None:
        """Forward until both sides have said goodbye; in any other end, both see a reset."""
        try:
            self._server = socket.socket(family, socket.SOCK_STREAM)
            for end in (self._client, self._server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(self._server, upstream)
            async with asyncio.TaskGroup() as pumps:
                self._pump(pumps, self._client, self._server, self._up)
                self._pump(pumps, self._server, self._client, self._down)
            self._whole = True
        except* OSError:
            pass  # its two ends hear of it by the reset
        finally:
            self.close()

    def close(self) -> None:
        """Close both ends; a second call does nothing."""
        for end in (self._client, self._server):
            if end is not None:
                if not self._whole:
                    with contextlib.suppress(OSError):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                end.close()

    def _pump(self, tasks: asyncio.TaskGroup, source: socket.socket, sink: socket.socket, way: Way) -> None:
        road: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
        tasks.create_task(self._read(source, road, way))
        tasks.create_task(self._write(road, sink, way))

    async def _read(self, source: socket.socket, road: asyncio.Queue[tuple[float, bytes]], way: Way) -> None:
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:  # the empty one is the goodbye, which takes the same road
            data = await loop.sock_recv(source, CHUNK)
            await road.put((loop.time() + way.delay.total_seconds(), data))

    async def _write(self, road: asyncio.Queue[tuple[float, bytes]], sink: socket.socket, way: Way) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await road.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._flowing.wait()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            way.check()
            for piece in way.pieces(data):
                await loop.sock_sendall(sink, piece)
                way.forwarded += len(piece)
                await asyncio.sleep(len(piece) / way.rate if way.rate else 0)
            way.chunks += 1

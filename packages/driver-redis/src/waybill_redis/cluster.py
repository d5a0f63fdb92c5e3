"""The masters of a Redis Cluster: each queue is on the one that has its slot, and moves with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, ConnectionError as UnreachableError, MovedError, TryAgainError

from .address import Address
from .failures import EXPECTED
from .link import Link, Undo
from .options import RedisOptions
from .scripts import Script
from .server import Server

_Node = tuple[str, int]
_AGAIN: Final = 0.05
"""Seconds between tries while the cluster moves a slot."""
_MOVING: Final = (AskError, TryAgainError, ClusterDownError)
"""What a node answers while a slot moves. A script has too many keys to be sent after those that have moved already."""


class Cluster:
    """Finds the master of a slot, and knows where all are."""

    def __init__(self, address: Address, options: RedisOptions) -> None:
        self._address, self.options = address, options
        self.where = address.where
        self._seconds = options.timeout.total_seconds()
        self._door = Server(address, options)
        """It knows who may call, and connects to nobody."""
        self._servers: dict[_Node, Server] = {}
        self._owners: list[tuple[int, int, _Node]] = []
        """First and last slot, and who has them."""
        self._moved: dict[int, _Node] = {}
        """Slots that have moved since these were asked for."""
        self._learning = asyncio.Lock()

    @property
    def closing(self) -> bool:
        return self._door.closing

    def check_caller(self) -> None:
        self._door.check_caller()

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Iterable[bytes | str | int],
        *,
        undo: Undo | None = None,
        safely: bool = False,
    ) -> Any:
        slot, rest = key_slot(keys[0].encode()), tuple(arguments)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        while True:
            server = await self._server_of(slot)
            left = max(end - loop.time(), 0.001)
            try:
                return await server.call(script, keys, rest, undo=undo, safely=safely, seconds=left)
            except MovedError as error:  # nothing has happened there
                self._moved[slot] = (error.host or str(server.address.arguments["host"]), error.port)
                if loop.time() > end:
                    raise
            except _MOVING:
                if loop.time() + _AGAIN > end:
                    raise
                await asyncio.sleep(_AGAIN)
            except EXPECTED:
                self._forget()  # another may have its place: the next call asks
                raise

    def post(self, script: Script, keys: Sequence[str], arguments: Iterable[bytes | str | int]) -> None:
        node = self._node_of(key_slot(keys[0].encode()))
        if node in self._servers:
            self._servers[node].post(script, keys, arguments)

    async def connect(self, key: str) -> Link:
        server = await self._server_of(key_slot(key.encode()))
        try:
            return await server.connect()
        except EXPECTED:
            self._forget()
            raise

    def together(self, queues: Sequence[str]) -> list[tuple[str, ...]]:
        return [(queue,) for queue in queues]

    async def servers(self) -> Sequence[Server]:
        await self._learn()
        return [self._at(node) for node in dict.fromkeys(node for _, _, node in self._owners)]

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in (self._door, *self._servers.values())))

    async def _server_of(self, slot: int) -> Server:
        self.check_caller()
        node = self._node_of(slot)
        if node is None:
            await self._learn()
            node = self._node_of(slot)
        if node is None:
            raise ClusterDownError(f"slot {slot} is served by no master")
        return self._at(node)

    def _node_of(self, slot: int) -> _Node | None:
        if slot in self._moved:
            return self._moved[slot]
        return next((node for first, last, node in self._owners if first <= slot <= last), None)

    def _at(self, node: _Node) -> Server:
        if node not in self._servers:
            self._servers[node] = Server(self._address.at(*node), self.options)
            self._servers[node].closing = self.closing
        return self._servers[node]

    def _forget(self) -> None:
        self._owners, self._moved = [], {}

    async def _learn(self) -> None:
        """Ask who has which slots, unless somebody has just done so.

        Raises:
            redis.ConnectionError: nobody answers.
        """
        async with self._learning:
            if self._owners:
                return
            told: list[str] = []
            for node in (*self._servers, *self._address.seeds):
                server = self._at(node)
                try:
                    async with asyncio.timeout(self._seconds / 2):
                        slots = await server.ask("CLUSTER", "SLOTS")
                except EXPECTED as error:
                    told.append(f"{server.where}: {str(error) or 'no answer'}")
                    continue
                host = str(server.address.arguments["host"])
                self._owners = [(first, last, (_text(at[0]) or host, at[1])) for first, last, at, *_ in slots]
                self._moved = {}
                return
            raise UnreachableError("; ".join(told))


def _text(host: bytes | None) -> str:
    return host.decode() if host else ""

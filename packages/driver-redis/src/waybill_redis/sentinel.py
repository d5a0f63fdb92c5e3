"""Finding the master that Sentinels watch over; it is asked for anew with each connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as UnreachableError, RedisError

Connect = Callable[[str, int, float], Awaitable[AbstractConnection]]


@dataclass(frozen=True, slots=True)
class Watched:
    """A master by its name, and the Sentinels that know where it is."""

    name: str
    sentinels: tuple[tuple[str, int], ...]

    async def ask(self, connect: Connect, patience: float) -> tuple[str, int]:
        """Where the master is, from the first Sentinel that knows.

        Raises:
            redis.ConnectionError: none does.
        """
        told: list[str] = []
        for host, port in self.sentinels:
            try:
                async with asyncio.timeout(patience / len(self.sentinels)):
                    found = await self._ask_one(await connect(host, port, patience))
            except (RedisError, OSError) as error:
                told.append(f"{host}:{port}: {str(error) or 'no answer'}")
                continue
            if found is not None:
                return found
            told.append(f"{host}:{port} knows no master {self.name!r}")
        raise UnreachableError("; ".join(told))

    async def _ask_one(self, connection: AbstractConnection) -> tuple[str, int] | None:
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            asked = connection.pack_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
            await connection.send_packed_command(asked, check_health=False)
            found = await connection.read_response(disable_decoding=True)
        finally:
            await connection.disconnect(nowait=True)
        return None if found is None else (found[0].decode(), int(found[1]))

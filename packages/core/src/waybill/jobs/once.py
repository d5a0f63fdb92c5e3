"""A mark in the broker that something was begun, so that it is begun once however often its job is delivered."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ..driver import KeepsState

if TYPE_CHECKING:
    from .context import JobContext

_LONGEST_KEY: Final = 200


class Once:
    """`if await ctx.once("charge:1"):` or, to take the mark back if the block raises, `async with ... as first:`."""

    def __init__(self, context: JobContext, key: Any, ttl: timedelta | None) -> None:
        if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
            raise ValueError(f"a key is text of 1 to {_LONGEST_KEY} characters, not {key!r}")
        self._context, self._key, self._ttl = context, key, ttl
        self._store: KeepsState | None = None
        self._version: int | None = None

    def __await__(self) -> Generator[Any, Any, bool]:
        return self._take().__await__()

    async def __aenter__(self) -> bool:
        return await self._take()

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and self._store is not None and self._version is not None:
            await self._store.state_delete(self._name, expect=self._version)

    async def _take(self) -> bool:
        context = self._context
        self._store = await context.service.books.keeper(context.queue)
        value = context.job_id.encode()
        self._version = await self._store.state_put(self._name, value, expect=None, ttl=self._ttl)
        if self._version is None:
            context.log.info("this was begun before, and is left out", once=self._key)
        return self._version is not None

    @property
    def _name(self) -> str:
        return f"once/{self._context.service.namespace or '-'}/{self._key}"

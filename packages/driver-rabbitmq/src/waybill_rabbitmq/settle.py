"""What becomes of a delivery: done, given back, held on to, or given up.

What goes back for later, or without spending an attempt, goes back as a copy: it is stored, and only then is the one at
hand acked. A crash between the two leaves both, with one id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from waybill.driver import Delivery
from waybill.errors import DeadReason, WaybillError
from waybill.timing import ZERO

from .failures import EXPECTED, LostError, lost_lease, while_calling
from .held import Held
from .receive import Receiving
from .server import Server
from .storing import Order, dead_order, order, store
from .tap import Tap

T = TypeVar("T")
Outcome = Exception | None
_OFTEN: Final = 10
"""So often a message goes back the server's own way, which counts, and gives it up at delivery_limit."""
_COUNTS_NO_NACKS: Final = (4, 3)
"""From this version on the server does not count what is given back."""

_TURNS: Final = 5
"""Of the loop: in which it reads what came before the end of a connection, and notices that it has ended."""


class Settle:
    """The settling verbs of one open driver."""

    def __init__(self, server: Server, receiving: Receiving) -> None:
        self._server, self._receiving = server, receiving
        self._often = min(_OFTEN, server.options.delivery_limit // 2)

    async def ack(self, deliveries: Sequence[Delivery]) -> list[WaybillError | None]:
        """Done."""

        async def settle(some: Sequence[tuple[Held, None]], end: float) -> Sequence[Outcome]:
            return await self._drop([held for held, _ in some], end)

        return await self._each("ack", [(each, None) for each in deliveries], settle)

    async def nack(self, items: Sequence[tuple[Delivery, timedelta]]) -> list[WaybillError | None]:
        """Another attempt, after a delay."""

        async def settle(some: Sequence[tuple[Held, timedelta]], end: float) -> Sequence[Outcome]:
            now = [held for held, delay in some if delay <= ZERO and self._may_go_back(held)]
            later = [(held, delay) for held, delay in some if held not in now]
            orders = [self._copy(held, delay, spent=1) for held, delay in later]
            went, stored = await asyncio.gather(
                self._go_back(now, end), self._replace([held for held, _ in later], orders, end)
            )
            told = dict(zip((*now, *(held for held, _ in later)), (*went, *stored), strict=True))
            return [told[held] for held, _ in some]

        return await self._each("nack", items, settle)

    async def release(self, delivery: Delivery, delay: timedelta) -> list[WaybillError | None]:
        """The same attempt, after a delay."""

        async def settle(some: Sequence[tuple[Held, timedelta]], end: float) -> Sequence[Outcome]:
            orders = [self._copy(held, delay, spent=0) for held, delay in some]
            return await self._replace([held for held, _ in some], orders, end)

        return await self._each("release", [(delivery, delay)], settle)

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None) -> list[WaybillError | None]:
        """A dead letter, of its own queue or of another one."""

        async def settle(some: Sequence[tuple[Held, None]], end: float) -> Sequence[Outcome]:
            names = self._server.names
            orders = [dead_order(names, held.message, reason, to or held.tap.queue) for held, _ in some]
            return await self._replace([held for held, _ in some], orders, end)

        return await self._each("bury", [(delivery, None)], settle)

    async def extend(self, deliveries: Sequence[Delivery]) -> list[Delivery | WaybillError]:
        """Nothing is sent: it is ours for as long as its channel lives."""
        self._server.check_caller()
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        self._server.check_caller()
        holdings = self._receiving.holdings
        return [each if holdings.has(each) else lost_lease(each) for each in deliveries]

    # -- how -------------------------------------------------------------------------------------------

    async def _each(
        self,
        verb: str,
        items: Sequence[tuple[Delivery, T]],
        settle: Callable[[Sequence[tuple[Held, T]], float], Awaitable[Sequence[Outcome]]],
    ) -> list[WaybillError | None]:
        """Settle those that are still ours, each once; the outcomes in order."""
        self._server.check_caller()
        holdings = self._receiving.holdings
        taken = [holdings.take(delivery) for delivery, _ in items]
        ours = [(held, asked) for held, (_, asked) in zip(taken, items, strict=True) if held is not None]
        told: Sequence[Outcome] = [None] * len(ours)
        try:
            told = await settle(ours, self._server.deadline()) if ours else ()
        except EXPECTED as error:
            told = [error] * len(ours)
        except BaseException:
            for held, _ in ours:
                self._put_back(held)
            raise
        answers = iter(told)
        return [
            lost_lease(delivery) if held is None else self._tell(verb, held, next(answers))
            for held, (delivery, _) in zip(taken, items, strict=True)
        ]

    def _tell(self, verb: str, held: Held, outcome: Outcome) -> WaybillError | None:
        if outcome is None:
            return None
        self._put_back(held)
        if isinstance(outcome, WaybillError):
            return outcome
        error = while_calling(outcome, self._server.address.where, verb)
        error.__cause__ = outcome
        return error

    def _put_back(self, held: Held) -> None:
        if not held.settled:
            self._receiving.holdings.put_back(held)

    async def _drop(self, some: Sequence[Held], end: float) -> Sequence[Outcome]:
        return await self._by_tap(some, end, lambda tap, places: tap.settling.done(places))

    async def _go_back(self, some: Sequence[Held], end: float) -> Sequence[Outcome]:
        return await self._by_tap(some, end, lambda tap, places: tap.settling.back(places))

    async def _replace(self, some: Sequence[Held], orders: Sequence[Order], end: float) -> Sequence[Outcome]:
        if not some:
            return ()
        stored = await store(self._server, orders, end)
        done = [held for held, outcome in zip(some, stored, strict=True) if outcome is None]
        told = dict(zip(done, await self._drop(done, end), strict=True))
        return [told.get(held) if outcome is None else outcome for held, outcome in zip(some, stored, strict=True)]

    async def _by_tap(
        self, some: Sequence[Held], end: float, settle: Callable[[Tap, Sequence[int]], Awaitable[None]]
    ) -> Sequence[Outcome]:
        """Settle what came through each tap together."""
        by_tap: dict[Tap, list[Held]] = {}
        for held in some:
            by_tap.setdefault(held.tap, []).append(held)
            held.settled = True
            self._receiving.settled(held)
        told: dict[Tap, Outcome] = {}
        heard: dict[Tap, Awaitable[None]] = {}
        for tap, own in by_tap.items():
            try:
                heard[tap] = settle(tap, [held.receipt.place for held in own])
            except LostError as error:
                told[tap] = error
        for tap, hearing in heard.items():
            try:
                await self._server.within(self._server.receiving, hearing, end)
            except (*EXPECTED, WaybillError) as error:
                told[tap] = error
        return [told.get(held.tap) for held in some]

    def _copy(self, held: Held, delay: timedelta, *, spent: int) -> Order:
        return order(self._server.names, held.message, delay, attempts=held.attempts_before + spent)

    def _may_go_back(self, held: Held) -> bool:
        """Whether the server's own way back counts the attempt, and is far from giving the message up."""
        if self._server.options.queue_type == "classic" or self._server.version >= _COUNTS_NO_NACKS:
            return False
        return held.counted < self._often

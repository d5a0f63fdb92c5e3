"""Random histories: Hypothesis does anything to a driver and to the model beside it, and both must agree."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from waybill.driver import (
    Buries,
    Cancels,
    Counts,
    Delivery,
    EnqueuesBatches,
    ExtendsLease,
    Message,
    Purges,
    ReadsDeadLetters,
    Releases,
    UniqueKey,
)
from waybill.errors import DuplicateJobError, LeaseLostError
from waybill.timing import ZERO

from .bench import TICK, Bench
from .model import Entry, Model

T = TypeVar("T")

CALL = 60.0
"""Seconds of real time for one step."""
NUMBERS = st.integers(0, 10_000)
QUEUES = st.integers(0, 1)
DELAYS = st.sampled_from([None, ZERO, timedelta(seconds=0.4), timedelta(seconds=1.7), timedelta(seconds=-5)])
KEYS = st.sampled_from([None, None, "k", "l"])
BODIES = st.one_of(st.just(None), st.binary(max_size=40))


class History(RuleBasedStateMachine):
    """One history. What follows is set by whoever runs it, in another thread than the loop's."""

    bench: Bench
    loop: asyncio.AbstractEventLoop
    over: list[History]
    """Those that `drain` has not seen."""

    # -- the means -------------------------------------------------------------------------------------

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        """Carry out a call on the driver's loop."""
        return asyncio.run_coroutine_threadsafe(call, self.loop).result(CALL)

    @initialize()
    def begin(self) -> None:
        self.driver = self.bench.driver
        self.queues = [self.bench.queue("model"), self.bench.queue("model")]
        fuzz = ZERO if self.bench.virtual else timedelta(milliseconds=150)
        self.model = Model(self.bench.claims.capabilities, fuzz)
        self.deliveries: list[Delivery] = []
        self.messages: list[Message] = []

    def message(self, queue: int, key: str | None, body: bytes | None) -> Message:
        unique = UniqueKey(key, "done") if key is not None and self._keeps_keys() else None
        made = self.bench.message(self.queues[queue], body=body, unique=unique)
        self.messages.append(made)
        return made

    def _keeps_keys(self) -> bool:
        claim = self.bench.claims.unique
        return "done" in claim.scopes and claim.reported

    def offers(self, protocol: type) -> bool:
        return isinstance(self.bench.driver, protocol)

    # -- sending ---------------------------------------------------------------------------------------

    @rule(queue=QUEUES, delay=DELAYS, key=KEYS, body=BODIES)
    def enqueue(self, queue: int, delay: timedelta | None, key: str | None, body: bytes | None) -> None:
        message = self.message(queue, key, body)
        now = self.bench.now()
        holder = self.model.holder(message)
        try:
            if delay is None:
                self.do(self.driver.enqueue(message))
            elif delay < ZERO:
                self.do(self.driver.enqueue_at(message, now + delay))
            else:
                self.do(self.driver.enqueue_in(message, delay))
        except DuplicateJobError as error:
            told = error.existing_job_id
            if holder is None or told not in (None, holder.message.id):
                raise AssertionError(f"{error} Nobody holds it, or another.") from error
            return
        assert holder is None, f"a key that was held was taken by {message.id}"
        self.model.accept(message, now + max(delay or ZERO, ZERO))

    @precondition(lambda self: self.messages and self.bench.claims.idempotent_enqueue is not None)
    @rule(number=NUMBERS)
    def repeat(self, number: int) -> None:
        message = self.messages[number % len(self.messages)]
        entry = self.model.entries.get((message.queue, message.id))
        if entry is not None and entry.state in ("waiting", "leased"):  # forgotten ids may be sent anew
            self.do(self.driver.enqueue(message))

    @precondition(lambda self: self.offers(EnqueuesBatches))
    @rule(parts=st.lists(st.tuples(QUEUES, DELAYS, KEYS), max_size=5))
    def enqueue_batch(self, parts: list[tuple[int, timedelta | None, str | None]]) -> None:
        now = self.bench.now()
        items = [
            (self.message(queue, key, None), None if delay is None else max(delay, ZERO)) for queue, delay, key in parts
        ]
        outcomes = self.do(self.driver.enqueue_batch(items))
        for (message, delay), outcome in zip(items, outcomes, strict=True):
            refused = isinstance(outcome, DuplicateJobError)
            assert refused == (self.model.holder(message) is not None), f"{message.id}: {outcome!r}"
            if not refused:
                self.model.accept(message, now + (delay or ZERO))

    # -- receiving -------------------------------------------------------------------------------------

    @rule(queue=QUEUES, limit=st.integers(1, 4))
    def receive(self, queue: int, limit: int) -> None:
        name = self.queues[queue]
        missing = min(limit, len(self.model.ready(name, self.bench.now())))
        end = self.bench.timer(self.bench.soon)
        got: list[Delivery] = []
        while True:
            got += self.do(self.driver.receive(name, limit=limit - len(got), wait=ZERO))
            if len(got) >= missing or (end.left() <= ZERO or self.bench.virtual):
                break
        for each in got:
            self.model.delivered(each, self.bench.now())
        self.deliveries += got
        assert len(got) >= missing, f"{len(got)} of {missing} ready messages came"

    @rule(queue=QUEUES, steps=st.integers(0, 20))
    def receive_and_cancel(self, queue: int, steps: int) -> None:
        name = self.queues[queue]
        self.model.doubt(name, self.bench.now())
        for each in self.do(self._cancelled(name, steps)):
            self.model.delivered(each, self.bench.now())
            self.deliveries.append(each)

    async def _cancelled(self, queue: str, steps: int) -> list[Delivery]:
        task = asyncio.ensure_future(self.driver.receive(queue, limit=2, wait=timedelta(seconds=5)))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return list(await task)
        return []

    # -- settling, with any delivery ever seen -----------------------------------------------------------

    # Whether there is one must not decide which rules there are: a receive that is cancelled may deliver when a
    # history is first played, and not when it is played again.

    def settle(self, number: int, verb: Coroutine[Any, Any, Any], delivery: Delivery) -> Entry | None:
        """Settle, and return the entry that is to change, if one is."""
        standing, entry = self.model.standing(delivery, self.bench.now())
        try:
            self.do(verb)
        except LeaseLostError:
            assert standing != "held", f"{delivery.message.id} is this receiver's until {entry.until}, and is refused"
            return None
        assert standing != "lost", f"{delivery.message.id} was settled with a stale receipt"
        return entry

    @rule(number=NUMBERS)
    def ack(self, number: int) -> None:
        if not self.deliveries:
            return
        delivery = self.deliveries[number % len(self.deliveries)]
        if entry := self.settle(number, self.driver.ack(delivery), delivery):
            entry.state = "done"

    @rule(number=NUMBERS, delay=st.sampled_from([ZERO, timedelta(seconds=0.5)]))
    def nack(self, number: int, delay: timedelta) -> None:
        if not self.deliveries:
            return
        delivery, now = self.deliveries[number % len(self.deliveries)], self.bench.now()
        if entry := self.settle(number, self.driver.nack(delivery, delay=delay), delivery):
            self.model.give_back(entry, now + delay, spent=True)

    @precondition(lambda self: self.offers(Releases))
    @rule(number=NUMBERS, delay=st.sampled_from([ZERO, timedelta(seconds=0.5)]))
    def release(self, number: int, delay: timedelta) -> None:
        if not self.deliveries:
            return
        delivery, now = self.deliveries[number % len(self.deliveries)], self.bench.now()
        if entry := self.settle(number, self.driver.release(delivery, delay=delay), delivery):
            self.model.give_back(entry, now + delay, spent=False)

    @precondition(lambda self: self.offers(ExtendsLease) and self.bench.claims.lease is not None)
    @rule(number=NUMBERS)
    def extend(self, number: int) -> None:
        if not self.deliveries:
            return
        place = number % len(self.deliveries)
        delivery, now = self.deliveries[place], self.bench.now()
        standing, entry = self.model.standing(delivery, now)
        try:
            extended = self.do(self.driver.extend(delivery))
        except LeaseLostError:
            assert standing != "held", f"{delivery.message.id} is this receiver's, and is not extended"
            return
        assert standing != "lost", f"{delivery.message.id} was extended with a stale receipt"
        entry.delivery = self.deliveries[place] = extended
        entry.until = now + self.bench.lease

    @precondition(lambda self: self.offers(Buries))
    @rule(number=NUMBERS)
    def bury(self, number: int) -> None:
        if not self.deliveries:
            return
        delivery = self.deliveries[number % len(self.deliveries)]
        if entry := self.settle(number, self.driver.bury(delivery, self.bench.reason()), delivery):
            entry.state = "dead"

    # -- operating, and time -----------------------------------------------------------------------------

    @precondition(lambda self: self.offers(Cancels))
    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        if not self.messages:
            return
        message, now = self.messages[number % len(self.messages)], self.bench.now()
        if self.model.doubts(message.queue, now) or not self.bench.virtual:
            return
        entry = self.model.entries.get((message.queue, message.id))
        leased = entry is not None and entry.state == "leased" and (entry.until is None or entry.until > now)
        gone = self.do(self.driver.cancel(message.queue, message.id))
        assert gone == (entry is not None and entry.state in ("waiting", "leased") and not leased)
        if gone and entry is not None:
            entry.state = "done"

    @precondition(lambda self: self.offers(Purges) and self.bench.claims.purge == "all" and self.bench.virtual)
    @rule(queue=QUEUES)
    def purge(self, queue: int) -> None:
        name, now = self.queues[queue], self.bench.now()
        if self.model.doubts(name, now):
            return
        counts = self.model.counts(name, now)
        removed = self.do(self.driver.purge(name))
        assert removed in (None, counts["ready"] + counts["delayed"])
        for each in self.model.entries.values():
            over = each.state == "leased" and each.until is not None and each.until <= now
            if each.message.queue == name and (each.state == "waiting" or over):
                each.state = "done"

    @rule(part=st.sampled_from([0.1, 0.5, 1.0, 30.0]))
    def pass_time(self, part: float) -> None:
        lease = self.bench.claims.lease or timedelta(seconds=2)
        if part <= 0.1 or self.bench.virtual:
            self.do(self.bench.pass_time(lease * part))

    @rule()
    def reopen(self) -> None:
        self.do(self._reopen())

    async def _reopen(self) -> None:
        if self.bench.claims.lease is None:  # what the connection holds would go back
            return
        await self.driver.close()
        await self.driver.open()

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "model") or not self.bench.virtual or not self.offers(Counts):
            return
        for queue in self.queues:
            now = self.bench.now()
            if not self.model.doubts(queue, now):
                told = self.do(self.driver.stats(queue))
                for name, number in self.model.counts(queue, now).items():
                    assert getattr(told, name) in (None, number), f"{name}: {told}, and the model says {number}"

    def teardown(self) -> None:
        """Real time is waited for once, when all histories are over."""
        if not hasattr(self, "model"):
            return
        if self.bench.virtual:
            self.do(drain(self.bench, [self]))
        else:
            self.over.append(self)

    async def let_go(self) -> None:
        """Give back what would be held for as long as the driver is open."""
        if self.bench.claims.lease is None:
            for each in self.deliveries:
                with contextlib.suppress(LeaseLostError):
                    await self.driver.nack(each)

    async def compare(self) -> None:
        """Find what was accepted and is not done, and nothing else."""
        for queue in self.queues:
            wanted = self._ids(queue, "waiting", "leased")
            virtual = self.bench.virtual
            got = await self.bench.receive(queue, limit=len(wanted), within=TICK if virtual else None) if wanted else []
            got += await self.driver.receive(queue, limit=10, wait=ZERO if virtual else TICK * 2)  # is there more?
            for each in got:
                with contextlib.suppress(LeaseLostError):
                    await self.driver.ack(each)
            found = {each.message.id for each in got}
            assert found == wanted, f"lost: {wanted - found}; from nowhere: {found - wanted}"
            if self.offers(ReadsDeadLetters) and self.offers(Buries):
                page = await self.driver.list_dead(queue, limit=1000)
                assert {each.message.id for each in page.entries} == self._ids(queue, "dead")

    def _ids(self, queue: str, *states: str) -> set[str]:
        entries = self.model.entries.values()
        return {each.message.id for each in entries if each.message.queue == queue and each.state in states}


async def drain(bench: Bench, histories: Sequence[History]) -> None:
    """In the end everything that was accepted can be had, and nothing else."""
    for each in histories:
        await each.let_go()
    await bench.pass_time((bench.claims.lease or ZERO) + timedelta(seconds=2))
    for each in histories:
        await each.compare()

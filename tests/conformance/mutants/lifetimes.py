"""Faults of opening, closing and cancelling."""

import asyncio
import contextlib
import os
import threading
import time
import weakref
from dataclasses import replace
from datetime import timedelta

from waybill.errors import DriverClosedError, LeaseLostError
from waybill.testing import MemoryDriver

from . import killed_by


@killed_by(
    "test_a_receive_cancelled_at_any_step_loses_nothing",
    "test_a_waiting_receive_cancelled_while_a_message_arrives_loses_nothing",
    "test_a_timeout_around_receive_loses_nothing",
)
class LosesWhatNobodyTakes(MemoryDriver):
    """Pops, and then waits for the network: a cancelled receive has popped for nobody."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        for each in got:
            self._shared.queue(queue).records[each.message.id].at = None
            self._shared.queue(queue)._leased.pop(each.message.id, None)
        for _ in range(5):
            await asyncio.sleep(0)
        for each in got:
            record = self._shared.queue(queue).records[each.message.id]
            self._shared.queue(queue).extend(record, each.leased_until)
        return got


@killed_by("test_a_receive_that_was_cancelled_spends_no_attempt")
class ACancelledReceiveIsANack(MemoryDriver):
    """What arrives for a cancelled receiver goes back as another attempt."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            for each in got:
                await self.nack(each)
            raise
        return got


@killed_by("test_receivers_that_are_cancelled_together_all_end")
class ACancelledReceiveClosesTheDriver(MemoryDriver):
    """Takes the end of one receive for its own."""

    async def receive(self, queue, *, limit, wait):
        try:
            return await super().receive(queue, limit=limit, wait=wait)
        except asyncio.CancelledError:
            await self.close()
            raise


@killed_by("test_a_blocked_receive_that_is_cancelled_ends_and_the_driver_goes_on")
class SwallowsCancellation(MemoryDriver):
    """A cancelled receive begins anew."""

    async def receive(self, queue, *, limit, wait):
        for _ in range(3):
            try:
                return await super().receive(queue, limit=limit, wait=wait)
            except asyncio.CancelledError:
                await asyncio.sleep(0.4)
        return []


@killed_by("test_an_ack_that_was_cancelled_has_happened_or_not")
class ACancelledAckDoublesTheMessage(MemoryDriver):
    """Between the two steps of an ack there are two of them."""

    async def ack(self, delivery):
        copy = replace(delivery.message, id=f"{delivery.message.id}~")
        await self.enqueue(copy)
        await asyncio.sleep(0)
        await self.cancel(copy.queue, copy.id)
        await super().ack(delivery)


@killed_by("test_a_cancelled_call_does_not_answer_the_next_one")
class LeavesAnswersUnread(MemoryDriver):
    """The answer to a cancelled call is taken for that to the next."""

    async def receive(self, queue, *, limit, wait):
        if left := self.__dict__.pop("unread", None):
            return [replace(each, message=replace(each.message, queue=queue)) for each in left]
        got = await super().receive(queue, limit=limit, wait=wait)
        self.__dict__["unread"] = got
        for _ in range(3):
            await asyncio.sleep(0)
        self.__dict__.pop("unread", None)
        return got


@killed_by("test_an_enqueue_that_was_cancelled_may_be_repeated")
class ACancelledEnqueueBlocksItsId(MemoryDriver):
    """The id is remembered first, the message stored after."""

    async def enqueue(self, message):
        seen = self._shared.__dict__.setdefault("seen", set())
        if (message.queue, message.id) in seen:
            return message.id
        seen.add((message.queue, message.id))
        await asyncio.sleep(0)
        return await super().enqueue(message)


@killed_by(
    "test_every_verb_of_a_closed_driver_says_that_it_is_closed",
    "test_neither_the_driver_nor_its_errors_show_a_password",
)
class WorksWhenClosed(MemoryDriver):
    """Closing is a formality."""

    async def close(self):
        self._shared.wake()


@killed_by("test_every_verb_of_a_closed_driver_says_that_it_is_closed")
class OneVerbForgetsThatItIsClosed(MemoryDriver):
    """Tells a closed driver's counts."""

    async def stats(self, queue):
        closed, self._closed = self._closed, False
        try:
            return await super().stats(queue)
        finally:
            self._closed = closed


@killed_by("test_opening_and_closing_twice_is_fine")
class ASecondCloseFails(MemoryDriver):
    """What is closed cannot be closed."""

    async def close(self):
        if self._closed:
            raise DriverClosedError("it is closed already")
        await super().close()


@killed_by("test_a_receive_that_waits_ends_when_the_driver_is_closed")
class ClosesQuietly(MemoryDriver):
    """Whoever waits is not told."""

    async def close(self):
        self._closed = True


@killed_by("test_a_receive_that_waits_ends_when_the_driver_is_closed")
class AWaitEndsEmptyOnClose(MemoryDriver):
    """A receive that is closed under returns nothing, as if the queue were empty."""

    async def receive(self, queue, *, limit, wait):
        try:
            return await super().receive(queue, limit=limit, wait=wait)
        except DriverClosedError:
            if wait:
                return []
            raise


@killed_by("test_closing_leaves_a_lease_running", "test_a_holder_that_vanished_counts_one_attempt")
class ClosingGivesBack(MemoryDriver):
    """A closed driver returns what its receivers still work on."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        self.__dict__["held"] = [*self.__dict__.get("held", ()), *got]
        return got

    async def close(self):
        for each in self.__dict__.pop("held", ()):
            if each.message.id in self._shared.queue(each.message.queue).records:
                self._shared.give_back(each, timedelta(), spent=False)
        await super().close()


@killed_by("test_what_was_parked_comes_back_at_once_when_the_driver_is_closed")
class ParksForEver(MemoryDriver):
    """Fetches ahead, and takes what it fetched to its grave."""

    async def receive(self, queue, *, limit, wait):
        parked = self.__dict__.setdefault("parked", {}).setdefault(queue, [])
        if not parked:
            parked += await super().receive(queue, limit=limit + 4, wait=wait)
        got, parked[:] = parked[:limit], parked[limit:]
        return got


@killed_by("test_opening_and_closing_often_leaves_nothing_behind")
class LeaksAFile(MemoryDriver):
    """A socket for each connection, and nobody closes it."""

    async def open(self):
        weakref.finalize(self._shared, os.close, os.open("/dev/null", os.O_RDONLY))
        await super().open()


@killed_by("test_a_message_is_delivered_once_as_its_first_attempt")
class LeavesATask(MemoryDriver):
    """A background task outlives the driver."""

    async def open(self):
        await super().open()
        self.__dict__["task"] = asyncio.ensure_future(asyncio.sleep(5))


@killed_by("test_a_message_is_delivered_once_as_its_first_attempt")
class LeavesAThread(MemoryDriver):
    """A thread outlives the driver."""

    async def open(self):
        await super().open()
        if "thread" not in self._shared.__dict__:
            self._shared.__dict__["thread"] = threading.Thread(
                target=time.sleep, args=(1.6,), name="heartbeat", daemon=True
            )
        elif not self._shared.__dict__["thread"].ident:
            self._shared.__dict__["thread"].start()


@killed_by("test_neither_the_driver_nor_its_errors_show_a_password")
class TellsItsErrorsWrongly(MemoryDriver):
    """A closed driver raises what its client says."""

    async def enqueue(self, message):
        if self._closed:
            raise ConnectionError("redis://user:hunter2@host is closed")
        return await super().enqueue(message)


@killed_by("test_what_a_closed_driver_received_is_settled_by_nobody_and_comes_back")
class ClosingDropsWhatIsOut(MemoryDriver):
    """A closed connection takes along what it had handed out."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        self.__dict__["out"] = [*self.__dict__.get("out", ()), *got]
        return got

    async def close(self):
        for each in self.__dict__.pop("out", ()):
            with contextlib.suppress(LeaseLostError):
                self._shared.ack(each)
        await super().close()

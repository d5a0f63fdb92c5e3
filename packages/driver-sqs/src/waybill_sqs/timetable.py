"""Messages that are due much later, in the table, by the minute in which they are due; and their way to the queues.

`run` may be called by any number of processes, as often as they like: each message is claimed for a minute, sent with
the seconds that are left as its delay, and then removed. A list says which minutes have messages, so that what was
missed is caught up however long ago it was. The table takes only what is due in more than 15 minutes, a minute leaves
the list when it is over and empty, and so clocks may differ by minutes without anything being left behind.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
import zlib
from datetime import datetime, timedelta
from typing import Final

from waybill.envelope import Message, unwrap, wrap
from waybill.errors import WaybillError
from waybill.timing import Clock

from .sending import EXPECTED_OUTCOMES, Parcel, Sending, digest
from .table import Item, Table, expiry

_MINUTE: Final = 60_000  # milliseconds
_AHEAD: Final = 2 * _MINUTE
_CLAIM: Final = timedelta(minutes=1)
_LARGEST: Final = 350_000
"""Bytes of a message that an item takes, with what stands beside it."""
SHARDS: Final = 4
"""Partitions for each minute, lest one be too busy."""
_AT_ONCE: Final = 100
_KEPT: Final = timedelta(days=14)
_logger: Final = logging.getLogger("waybill.sqs")


class Timetable:
    """The messages of one application that are due much later."""

    def __init__(self, table: Table, sending: Sending, clock: Clock, prefix: str) -> None:
        self._table, self._sending, self._clock, self._prefix = table, sending, clock, prefix
        self._listed: set[int] = set()
        """Minutes that this driver has put into the list."""

    # -- as a scheduler ----------------------------------------------------------------------------------

    async def schedule(self, message: Message, due: datetime) -> str | None:
        """Keep a message; a repeat of it changes nothing."""
        body = wrap(message, due)
        if len(body) > _LARGEST:
            return None
        milliseconds = round(due.timestamp() * 1000)
        minute = milliseconds // _MINUTE
        if minute not in self._listed:  # first the minute, then the message: so none is in a minute that nobody knows
            await self._table.put({"pk": self._minutes, "sk": f"{minute:010d}"})
            self._listed = {each for each in self._listed if each > self._table.now() // _MINUTE} | {minute}
        name = digest(message.queue, message.id)
        shard = zlib.crc32(name.encode()) % SHARDS
        pk, sk = self._partition(minute, shard), f"{milliseconds:013d}#{name}"
        exp = expiry(milliseconds + int(_KEPT.total_seconds() * 1000))
        item: Item = {"pk": pk, "sk": sk, "queue": message.queue, "body": body, "claimed_until": 0, "exp": exp}
        where: Item = {"pk": self._where(name), "sk": "=", "place": pk, "under": sk, "exp": exp}
        await self._table.put_together(where, item)
        return sk

    async def cancel(self, queue: str, message_id: str) -> bool:
        """Remove a message that nobody has claimed yet."""
        where = await self._table.get(self._where(digest(queue, message_id)), "=")
        if where is None:
            return False
        found = "attribute_exists(pk) AND claimed_until = :nobody"
        if not await self._table.delete(where["place"], where["under"], found, nobody=0):
            return False
        await self._table.delete(where["pk"], where["sk"])
        return True

    # -- as it runs --------------------------------------------------------------------------------------

    async def run(self, seconds: float) -> int:
        """Send what is due within two minutes, and what earlier runs have missed; how many messages.

        Args:
            seconds: after which no further minute is begun.
        """
        end, sent = time.monotonic() + seconds, 0
        now = self._table.now()
        until = f"{(now + _AHEAD) // _MINUTE:010d}"
        async for listed in self._table.query(self._minutes, until=until):
            if time.monotonic() >= end:
                break
            minute, left = int(listed["sk"]), False
            for shard in range(SHARDS):
                count, some_left = await self._send_partition(minute, shard, now + _AHEAD, end)
                sent, left = sent + count, left or some_left
            if not left and minute < now // _MINUTE:
                await self._table.delete(listed["pk"], listed["sk"])
        return sent

    async def _send_partition(self, minute: int, shard: int, until: int, end: float) -> tuple[int, bool]:
        """Send a part of a minute; how many messages, and whether some are left."""
        sent, left, batch = 0, False, list[Item]()

        async def send() -> None:
            nonlocal sent, left, batch
            count = await self._send(batch)
            sent, left, batch = sent + count, left or count < len(batch), []

        async for item in self._table.query(self._partition(minute, shard), until=f"{until:013d}~"):
            batch.append(item)
            if len(batch) == _AT_ONCE:
                await send()
            if time.monotonic() >= end:
                left = True
                break
        if batch:
            await send()
        return sent, left

    async def _send(self, items: list[Item]) -> int:
        """Claim, send, and remove; how many of them are sent."""
        claimed = await asyncio.gather(*map(self._claim, items))
        mine = [item for item, is_mine in zip(items, claimed, strict=True) if is_mine]
        outcomes = await self._sending.send([self._parcel(each) for each in mine])
        done: list[Item] = []
        for item, outcome in zip(mine, outcomes, strict=True):
            if not isinstance(outcome, Exception):
                done.append(item)
            elif isinstance(outcome, (*EXPECTED_OUTCOMES, WaybillError)):
                _logger.warning("a message that is due could not be sent and is tried again in a minute: %s", outcome)
            else:
                raise outcome
        await asyncio.gather(*map(self._remove, done))
        return len(done)

    def _parcel(self, item: Item) -> Parcel:
        unwrapped = unwrap(item["body"], queue=item["queue"])
        return self._sending.parcel(unwrapped.message, unwrapped.due, unwrapped.attempts)

    async def _remove(self, item: Item) -> None:
        await self._table.delete(item["pk"], item["sk"], "claimant_id = :me", me=item["claimant"])
        await self._table.delete(self._where(item["sk"].partition("#")[2]), "=")

    async def _claim(self, item: Item) -> bool:
        item["claimant"] = uuid.uuid4().hex
        return await self._table.update(
            item["pk"],
            item["sk"],
            "SET claimed_until = :until, claimant_id = :me",
            "attribute_exists(pk) AND claimed_until < :now",
            until=self._table.after(_CLAIM),
            me=item["claimant"],
            now=self._table.now(),
        )

    # -- keys --------------------------------------------------------------------------------------------

    def _partition(self, minute: int, shard: int) -> str:
        return f"due#{self._prefix}#{minute}#{shard}"

    def _where(self, name: str) -> str:
        return f"job#{self._prefix}#{name}"

    @property
    def _minutes(self) -> str:
        return f"minutes#{self._prefix}"

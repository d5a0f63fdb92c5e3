"""Messages that are due much later, in the table, by the minute in which they are due; and their way to the queues.

`run` may be called by any number of processes, as often as they like: each message is claimed for a minute, sent with
the seconds that are left as its delay, and then removed. A cursor says up to which minute all is sent, so that minutes
that were missed are caught up. The table takes only what is due in more than 15 minutes and `run` looks two minutes
ahead, so that clocks may differ by that and nothing falls behind the cursor.
"""

from __future__ import annotations

import logging
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from waybill.envelope import Message, unwrap, wrap
from waybill.errors import WaybillError
from waybill.timing import Clock

from .failures import EXPECTED
from .sending import Sending, digest
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
        self._begun = False

    # -- as a scheduler ----------------------------------------------------------------------------------

    async def schedule(self, message: Message, due: datetime) -> str | None:
        """Keep a message; a repeat of it changes nothing."""
        body = wrap(message, due)
        if len(body) > _LARGEST:
            return None
        if not self._begun:  # before the first message there is a cursor, and so no minute is left out
            minute = self._table.now() // _MINUTE
            await self._table.put(self._cursor(minute), "attribute_not_exists(pk)")
            self._begun = True
        milliseconds = round(due.timestamp() * 1000)
        name = digest(message.queue, message.id)
        shard = zlib.crc32(name.encode()) % SHARDS
        pk, sk = self._partition(milliseconds // _MINUTE, shard), f"{milliseconds:013d}#{name}"
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
        end, sent, whole = time.monotonic() + seconds, 0, True
        now = self._table.now()
        cursor = await self._table.get(*self._cursor_key)
        first = now // _MINUTE if cursor is None else cursor["reached_minute"]
        for minute in range(first, (now + _AHEAD) // _MINUTE + 1):
            for shard in range(SHARDS):
                count, left = await self._send_partition(minute, shard, now + _AHEAD, lambda: time.monotonic() < end)
                sent += count
                whole &= not left
            if whole and minute < now // _MINUTE and cursor is not None:
                await self._advance(minute + 1)
            if time.monotonic() >= end:
                break
        return sent

    async def _send_partition(
        self, minute: int, shard: int, until: int, is_time: Callable[[], bool]
    ) -> tuple[int, bool]:
        """Send a part of a minute; how many messages, and whether some are left."""
        sent, left, batch = 0, False, list[Item]()
        pk = self._partition(minute, shard)
        async for item in self._table.query(pk, until=f"{until:013d}~"):
            if not is_time():
                return sent + await self._send(batch), True
            batch.append(item)
            if len(batch) == _AT_ONCE:
                count = await self._send(batch)
                sent, left = sent + count, left or count < len(batch)
                batch = []
        count = await self._send(batch)
        return sent + count, left or count < len(batch)

    async def _send(self, items: list[Item]) -> int:
        """Claim, send, and remove; how many of them are sent."""
        mine = [each for each in items if await self._claim(each)]
        parcels = []
        for each in mine:
            unwrapped = unwrap(each["body"], queue=each["queue"])
            parcel = self._sending.parcel(unwrapped.message, unwrapped.due)
            parcels.append(replace(parcel, attempts=unwrapped.attempts))
        sent = 0
        for item, outcome in zip(mine, await self._sending.send(parcels), strict=True):
            if isinstance(outcome, Exception):
                if not isinstance(outcome, (*EXPECTED, WaybillError)):
                    raise outcome
                _logger.warning("a message that is due could not be sent and is tried again in a minute: %s", outcome)
                continue
            await self._table.delete(item["pk"], item["sk"], "claimant_id = :me", me=item["claimant"])
            await self._table.delete(self._where(item["sk"].partition("#")[2]), "=")
            sent += 1
        return sent

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
    def _cursor_key(self) -> tuple[str, str]:
        return f"cursor#{self._prefix}", "="

    def _cursor(self, minute: int) -> Item:
        pk, sk = self._cursor_key
        return {"pk": pk, "sk": sk, "reached_minute": minute}

    async def _advance(self, minute: int) -> None:
        """All before that minute is sent; whoever has come further has said so."""
        await self._table.update(*self._cursor_key, "SET reached_minute = :next", "reached_minute < :next", next=minute)

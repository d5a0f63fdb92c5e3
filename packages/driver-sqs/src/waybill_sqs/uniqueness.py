"""Unique keys in the table: who holds one, and until when.

A key is first held for a minute, the message is sent, and then the key is held for as long as it should be: if the
sender dies in between, the key is free again a minute later, and not stuck.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from waybill.driver import Delivery
from waybill.envelope import Message, UniqueKey
from waybill.errors import DuplicateJobError

from .sending import digest
from .table import Item, Table, expiry

_PENDING: Final = timedelta(minutes=1)
_KEPT: Final = timedelta(days=14)
"""As long as SQS keeps a message."""
_FREE: Final = "attribute_not_exists(pk) OR ends_at <= :now OR (holder_id = :holder AND lasts <> :window)"
_HELD: Final = "holder_id = :holder"


class Keys:
    """The unique keys of one open driver's queues."""

    def __init__(self, table: Table, prefix: str) -> None:
        self._table, self._prefix = table, prefix

    async def take(self, message: Message) -> bool:
        """Hold a message's key for a minute; False: it holds it already, for a time that goes on.

        Raises:
            DuplicateJobError: another message holds it.
        """
        unique = _unique(message)
        item = self._item(message, _PENDING)
        values = {"now": self._table.now(), "holder": message.id, "window": "window"}
        holder = await self._table.put(item, _FREE, **values)
        if holder is not None and holder.get("holder_id") != message.id:
            raise DuplicateJobError(unique.key, holder.get("holder_id"))
        return holder is None

    async def keep(self, message: Message, delay: timedelta) -> None:
        """Hold the key as long as it should be: the message is stored."""
        unique = _unique(message)
        ends = self._table.after(_KEPT + delay if unique.window is None else unique.window)
        pk, sk = self._place(message)
        change = "SET ends_at = :ends, exp = :exp"
        await self._table.update(pk, sk, change, _HELD, holder=message.id, ends=ends, exp=expiry(ends))

    async def free(self, message: Message) -> None:
        """Let the key go, if it is still this message's."""
        pk, sk = self._place(message)
        await self._table.delete(pk, sk, _HELD, holder=message.id)

    async def started(self, deliveries: Sequence[Delivery]) -> None:
        """Free the keys that are held until a start."""
        for each in deliveries:
            if each.message.unique is not None and each.message.unique.until == "start":
                await self.free(each.message)

    async def ended(self, message: Message) -> None:
        """Free the key that was held until the end."""
        if message.unique is not None and message.unique.until != "window":
            await self.free(message)

    async def purged(self, queue: str) -> None:
        """Free all keys of a queue that are not held for a time of their own."""
        async for item in self._table.query(self._partition(queue)):
            if item["lasts"] != "window":
                await self._table.delete(item["pk"], item["sk"], _HELD, holder=item["holder_id"])

    def _item(self, message: Message, duration: timedelta) -> Item:
        pk, sk = self._place(message)
        ends = self._table.after(duration)
        unique = _unique(message)
        return {
            "pk": pk, "sk": sk, "holder_id": message.id, "lasts": unique.until, "ends_at": ends, "exp": expiry(ends)
        }  # fmt: skip

    def _place(self, message: Message) -> tuple[str, str]:
        return self._partition(message.queue), digest(_unique(message).key)

    def _partition(self, queue: str) -> str:
        return f"key#{self._prefix}#{queue}"


def _unique(message: Message) -> UniqueKey:
    assert message.unique is not None
    return message.unique

"""Dead letters: reading them, sending them back, and throwing them away.

SQS lets nobody look into a queue: whoever reads receives. A scan holds what it has read for a while, so that it does
not read the same again, and makes all of it visible when it is through.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from waybill.driver import DeadLetter, Page
from waybill.errors import WaybillError

from .aws import Aws
from .names import DEAD, Place
from .places import Places
from .records import ATTRIBUTES, REASON, Record, to_reason
from .sending import Parcel, Sending
from .settling import Settling

_HELD: Final = 30
"""Seconds for which what was read is hidden from others."""
_CONFIRM: Final = 1
"""Seconds of the last look: a short one asks only some of the servers of SQS, and may miss what is there."""
_MOST: Final = 10


@dataclass(eq=False, slots=True)
class Scan:
    """A reading that goes on over several pages."""

    url: str
    since: float
    held: list[str] = field(default_factory=list)
    """Receipt handles of what was read."""
    unread: list[Record] = field(default_factory=list)
    """What came with the last look and had no place on the page."""

    @property
    def over(self) -> bool:
        return time.monotonic() - self.since > _HELD


class DeadLetters:
    """The dead letters of one open driver's queues."""

    def __init__(self, aws: Aws, places: Places, sending: Sending, settling: Settling) -> None:
        self._aws, self._places, self._sending, self._settling = aws, places, sending, settling
        self._scans: dict[str, Scan] = {}

    async def list_dead(self, queue: str, after: str | None, limit: int) -> Page[DeadLetter]:
        """A page of them, in no order; `after` continues a scan of the last half minute, else begins anew."""
        url = await self._places.find(Place(queue, DEAD))
        if url is None or limit <= 0:
            return Page([], None)
        self._scans = {token: each for token, each in self._scans.items() if not each.over}
        scan = self._scans.pop(after or "", None) or Scan(url, time.monotonic())
        found: list[Record] = []
        try:
            while len(found) < limit:
                if not scan.unread:
                    scan.unread = await self._look(url, limit - len(found))
                    scan.held += [each.handle for each in scan.unread]
                if not scan.unread:
                    break
                room = limit - len(found)
                found += scan.unread[:room]
                scan.unread = scan.unread[room:]
        except BaseException:
            await self._settling.give_back(url, scan.held)
            raise
        letters = [_letter(each, queue) for each in found]
        if len(found) < limit:
            await self._settling.give_back(url, scan.held)
            return Page(letters, None)
        token = uuid.uuid4().hex
        self._scans[token] = scan
        return Page(letters, token)

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        """Send some back to where they came from, as if they were new."""
        url = await self._places.find(Place(queue, DEAD))
        if url is None or (ids is not None and not ids):
            return 0
        wanted, restored, left = None if ids is None else set(ids), 0, list[str]()
        try:
            while records := await self._look(url, _MOST):
                letters = [(each, _letter(each, queue)) for each in records]
                chosen = [each for each in letters if wanted is None or each[1].message.id in wanted]
                left += [record.handle for record, letter in letters if (record, letter) not in chosen]
                parcels = [Parcel(letter.message, why=record.broker_id) for record, letter in chosen]
                outcomes = await self._sending.deliver(parcels)
                done = [record.handle for (record, _), sent in zip(chosen, outcomes, strict=True) if _is_sent(sent)]
                left += [record.handle for record, _ in chosen if record.handle not in done]
                restored += len(done)
                await self._settling.delete(url, done)
        finally:
            await self._settling.give_back(url, left)
        return restored

    async def purge_dead(self, queue: str) -> None:
        """Remove all of them, within a minute."""
        url = await self._places.find(Place(queue, DEAD))
        if url is not None:
            await self._aws.call("purge_queue", QueueUrl=url)

    async def _look(self, url: str, limit: int) -> list[Record]:
        for seconds in (0, _CONFIRM):
            answer = await self._aws.call(
                "receive_message",
                QueueUrl=url,
                MaxNumberOfMessages=min(max(limit, 1), _MOST),
                WaitTimeSeconds=seconds,
                VisibilityTimeout=_HELD,
                MessageSystemAttributeNames=list(ATTRIBUTES),
                MessageAttributeNames=[REASON],
            )
            if messages := answer.get("Messages"):
                return [Record.of(each) for each in messages]
        return []


def _letter(record: Record, queue: str) -> DeadLetter:
    reason, source = to_reason(record, queue)
    return DeadLetter(replace(record.read(source).message, queue=source), reason)


def _is_sent(outcome: str | WaybillError) -> bool:
    return isinstance(outcome, str)

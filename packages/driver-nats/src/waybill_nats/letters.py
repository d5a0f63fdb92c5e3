"""The dead letters: in a stream of their own, a line of JSON with the reason and then the message."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final

from waybill.driver import DeadLetter, Page
from waybill.envelope import Message, unwrap
from waybill.errors import DeadReason, DuplicateJobError

from .bucket import Bucket, Entry
from .clock import micros_at, moment
from .failures import STREAM_MISSING, RefusedError
from .names import Names
from .parcel import pack
from .server import Server
from .topology import Topology
from .unique import UniqueKeys

_LONGEST: Final = 32 * 1024
"""Characters of a reason: it has to fit beside the message."""


class Letters:
    """The dead letters of one namespace."""

    def __init__(self, server: Server, names: Names, topology: Topology, bucket: Bucket, keys: UniqueKeys) -> None:
        self._server, self._names, self._topology = server, names, topology
        self._bucket, self._keys = bucket, keys

    async def list(self, queue: str, after: str | None, limit: int) -> Page[DeadLetter]:
        """A page, the oldest first."""
        self._server.check_caller()
        found: list[Entry] = []
        async for entry in self._read(queue, int(after or 0)):
            if len(found) == limit:
                return Page([_letter(each) for each in found], str(found[-1].version) if found else None)
            found.append(entry)
        return Page([_letter(each) for each in found], None)

    async def retry(self, queue: str, ids: Sequence[str] | None) -> int:
        """Send them back to where they came from, attempts forgotten; how many."""
        self._server.check_caller()
        wanted = None if ids is None else frozenset(ids)
        if wanted is not None and not wanted:
            return 0
        sent, last = 0, await self._last(queue)
        async for entry in self._read(queue, 0):
            if entry.version > last:  # what dies again meanwhile stays
                break
            message = _letter(entry).message
            if wanted is None or message.id in wanted:
                await self._send_back(entry, message)
                sent += 1
        return sent

    async def purge(self, queue: str) -> int:
        """Remove those of one queue; how many."""
        self._server.check_caller()
        try:
            answer = await self._server.api(
                f"STREAM.PURGE.{self._names.dead}", filter=f"{self._names.letters_of(queue)}.>"
            )
        except RefusedError as error:
            if error.number == STREAM_MISSING:
                return 0
            raise
        return int(answer["purged"])

    async def count(self, queue: str) -> int:
        """How many there are."""
        return sum((await self._bucket.subjects(f"{self._names.letters_of(queue)}.>", self._names.dead)).values())

    async def _read(self, queue: str, after: int) -> AsyncIterator[Entry]:
        subject = f"{self._names.letters_of(queue)}.>"
        while (entry := await self._bucket.next(subject, after + 1, self._names.dead)) is not None:
            yield entry
            after = entry.version

    async def _last(self, queue: str) -> int:
        entry = await self._bucket.last(f"{self._names.letters_of(queue)}.>", self._names.dead)
        return 0 if entry is None else entry.version

    async def _send_back(self, entry: Entry, message: Message) -> None:
        """A key that another message holds by now stays with that one: this message goes back without."""
        taken = 0
        if message.unique is not None:
            try:
                taken = await self._keys.take(message)
            except DuplicateJobError:
                message = Message(
                    message.id,
                    message.queue,
                    message.body,
                    None,
                    message.group,
                    message.priority,
                    message.headers,
                )
        queue = await self._topology.to_send(message.queue)
        level = min(message.priority, self._server.options.priorities - 1)
        parcel = pack(self._names, queue, message, level, name=f"~back.{entry.version}")
        try:
            await self._server.publish(*parcel)
        except RefusedError:
            if taken:
                await self._keys.give_up(taken)
            raise
        await self._bucket.remove(entry.version, self._names.dead)


def head(reason: DeadReason) -> bytes:
    """What comes before the message; of a long error its beginning."""
    error = reason.error
    while len(head := json.dumps([reason.code, error, reason.attempt, micros_at(reason.at)])) > _LONGEST:
        error = error[: len(error) * 3 // 4]
    return head.encode() + b"\n"


def _letter(entry: Entry) -> DeadLetter:
    """The dead letter; one that another program wrote has a reason that says so."""
    source = entry.subject.rsplit(".", 2)[1].replace("=", ".")
    why, _, record = entry.value.partition(b"\n")
    try:
        code, error, attempt, at = json.loads(why)
        reason = DeadReason(code, error, attempt, moment(at))
    except (ValueError, TypeError, OverflowError):
        reason = DeadReason("undecodable", "not written by Waybill", 0, datetime.fromtimestamp(0, UTC))
        record = entry.value
    return DeadLetter(unwrap(record, queue=source, broker_id=f"dead:{entry.version}").message, reason)

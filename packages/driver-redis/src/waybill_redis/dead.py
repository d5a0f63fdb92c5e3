"""Dead letters: reading them, sending them back, and throwing them away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from waybill.driver import DeadLetter, Page

from . import letters
from .keys import Keys
from .keyspace import Keyspace
from .records import raw, text, to_arguments
from .scripts import script

_LIST: Final = script("list_dead")
_LAST: Final = script("last_dead")
_FIND: Final = script("find_dead")
_READ: Final = script("read_dead")
_RESTORE: Final = script("restore")
_READMIT: Final = script("readmit")
_FORGET: Final = script("forget_dead")
_PURGE: Final = script("purge_dead")
_AT_ONCE: Final = 1000
_READ_AT_ONCE: Final = 100


async def list_dead(space: Keyspace, keys: Keys, queue: str, after: str | None, limit: int) -> Page[DeadLetter]:
    """A page of them, the oldest first."""
    start = b"" if after is None else raw(after)
    found = await space.call(_LIST, keys.of(queue), (start, limit + 1))
    members = found[::2]
    entries = [letters.to_letter(*each) for each in zip(members[:limit], found[1::2], strict=False)]
    return Page(entries, text(members[limit - 1]) if len(members) > limit > 0 else None)


async def retry_dead(space: Keyspace, keys: Keys, queue: str, ids: Sequence[str] | None) -> int:
    """Send some back to where they came from, as if they were new; what dies meanwhile is left alone."""
    last = await space.call(_LAST, keys.of(queue), ())
    wanted = None if ids is None else {raw(each) for each in ids}
    after, restored = b"", 0
    while last is not None:
        members = await space.call(_FIND, keys.of(queue), (after, last, _AT_ONCE))
        chosen = [each for each in members if wanted is None or letters.source_and_id(each)[1] in wanted]
        for start in range(0, len(chosen), _READ_AT_ONCE):
            restored += await _restore(space, keys, queue, chosen[start : start + _READ_AT_ONCE])
        if len(members) < _AT_ONCE:
            break
        after = members[-1]
    return restored


async def _restore(space: Keyspace, keys: Keys, queue: str, members: Sequence[bytes]) -> int:
    found = await space.call(_READ, keys.of(queue), members)
    by_source: dict[str, list[Any]] = {}
    for member, letter in zip(members, found, strict=True):
        if letter is not None:
            message = letters.to_letter(member, letter).message
            job_id, record, shape, *tied = to_arguments(message, None)
            source, job_id = letters.source_and_id(member)
            record = letters.record_of(letter) or record
            by_source.setdefault(source, []).extend((member, job_id, record, shape, *(tied or ("", ""))))
    restored = 0
    for source, arguments in by_source.items():
        count = len(arguments) // 6
        if source == queue or len(space.together((source, queue))) == 1:
            restored += await space.call(_RESTORE, keys.of(source, queue), (count, *arguments))
            continue
        # On another node of a cluster: stored, and then removed. What a fault leaves here can be sent back again,
        # which stores nothing while it is stored there.
        anew = [each for number, each in enumerate(arguments) if number % 6]
        await space.call(_READMIT, keys.of(source), (count, *anew))
        restored += await space.call(_FORGET, keys.of(queue), arguments[::6])
    return restored


async def purge_dead(space: Keyspace, keys: Keys, queue: str) -> int:
    """Remove those that are there now."""
    last = await space.call(_LAST, keys.of(queue), ())
    removed = 0
    while last is not None:
        some = await space.call(_PURGE, keys.of(queue), (last, _AT_ONCE))
        removed += some
        if some < _AT_ONCE:
            break
    return removed

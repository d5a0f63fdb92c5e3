"""Storing messages, each once: a repeat of an id that is stored stores nothing and succeeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from waybill.driver import Due
from waybill.envelope import Message
from waybill.errors import DuplicateJobError, WaybillError

from .failures import EXPECTED, while_sending
from .keys import Keys
from .keyspace import Keyspace
from .records import PLAIN_ROW, text, to_arguments
from .scripts import script

_ENQUEUE: Final = script("enqueue")
_PLAIN: Final = script("enqueue_plain")
_AT_ONCE: Final = 1000
_BYTES_AT_ONCE: Final = 4 * 2**20
"""A script holds up everybody else: a batch of large messages is sent in parts."""

Item = tuple[Message, Due]


async def enqueue(space: Keyspace, keys: Keys, items: Sequence[Item]) -> list[str | WaybillError]:
    """One outcome per message, in order."""
    outcomes: list[str | WaybillError] = [message.id for message, _ in items]
    for queue, numbers in _parts(items):
        try:
            held = await _store(space, keys, queue, [to_arguments(*items[number]) for number in numbers])
        except EXPECTED as error:
            for number in numbers:
                failed = outcomes[number] = while_sending(error, space.where, items[number][0])
                failed.__cause__ = error
            continue
        for number, holder in zip(held[::2], held[1::2], strict=True):
            unique = items[numbers[number - 1]][0].unique
            outcomes[numbers[number - 1]] = DuplicateJobError(unique.key if unique else "", text(holder))
    return outcomes


async def _store(space: Keyspace, keys: Keys, queue: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
    """The number and the holder of each whose unique key is held."""
    if all(len(row) == PLAIN_ROW for row in rows):
        pairs = [part for row in rows for part in row[:2]]
        return await space.call(_PLAIN, keys.plain(queue), pairs, safely=True)  # type: ignore[no-any-return]
    arguments = [len(rows), *(part for row in rows for part in row)]
    return await space.call(_ENQUEUE, keys.of(queue), arguments, safely=True)  # type: ignore[no-any-return]


def _parts(items: Sequence[Item]) -> Iterator[tuple[str, list[int]]]:
    """The numbers of those that are sent together: of one queue, and not too much."""
    if len(items) == 1:
        yield items[0][0].queue, [0]
        return
    parts: dict[str, list[int]] = {}
    sizes: dict[str, int] = {}
    for number, (message, _) in enumerate(items):
        queue = message.queue
        part = parts.setdefault(queue, [])
        size = sizes.get(queue, 0) + len(message.body)
        if part and (len(part) == _AT_ONCE or size > _BYTES_AT_ONCE):
            yield queue, part
            part, size = [], len(message.body)
            parts[queue] = part
        part.append(number)
        sizes[queue] = size
    yield from parts.items()

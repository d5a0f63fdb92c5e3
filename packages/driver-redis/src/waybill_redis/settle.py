"""What becomes of a delivery: done, given back, held longer, or given up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

from waybill.driver import Delivery
from waybill.errors import DeadReason, LeaseLostError, WaybillError

from . import letters
from .keys import Keys
from .keyspace import Keyspace
from .moments import micros, moment
from .scripts import script

_ACK: Final = script("ack")
_GIVE_BACK: Final = script("give_back")
_EXTEND: Final = script("extend")
_BURY: Final = script("bury")
_READ_HELD: Final = script("read_held")
_FILE_DEAD: Final = script("file_dead")
_AT_ONCE: Final = 1000
"""More than this is too much for one call of a script."""


async def ack(space: Keyspace, keys: Keys, deliveries: Sequence[Delivery]) -> list[WaybillError | None]:
    """Remove what is done."""

    async def settle(queue: str, some: Sequence[Delivery]) -> Sequence[WaybillError | None]:
        arguments = [each for delivery in some for each in receipt(delivery)]
        return _outcomes(some, await space.call(_ACK, keys.of(queue), arguments))

    return await _by_queue(deliveries, _itself, settle)


async def give_back(
    space: Keyspace, keys: Keys, items: Sequence[tuple[Delivery, timedelta]], *, spent: bool
) -> list[WaybillError | None]:
    """Another attempt, after a delay; *spent*: this one counts."""

    async def settle(queue: str, some: Sequence[tuple[Delivery, timedelta]]) -> Sequence[WaybillError | None]:
        arguments: list[Any] = [int(spent)]
        for delivery, delay in some:
            arguments += [*receipt(delivery), micros(delay)]
        lost = await space.call(_GIVE_BACK, keys.of(queue), arguments)
        return _outcomes([delivery for delivery, _ in some], lost)

    return await _by_queue(items, lambda item: item[0], settle)


async def extend(space: Keyspace, keys: Keys, deliveries: Sequence[Delivery]) -> list[Delivery | WaybillError]:
    """A full lease again, from now."""
    lease = micros(space.options.lease)

    async def settle(queue: str, some: Sequence[Delivery]) -> Sequence[Delivery | WaybillError]:
        arguments: list[Any] = [lease, *(each for delivery in some for each in receipt(delivery))]
        until, *lost = await space.call(_EXTEND, keys.of(queue), arguments)
        ends = moment(until)
        return [
            error or Delivery(delivery.message, delivery.attempt, delivery.receipt, ends)
            for delivery, error in zip(some, _outcomes(some, lost), strict=True)
        ]

    return await _by_queue(deliveries, _itself, settle)


async def bury(space: Keyspace, keys: Keys, delivery: Delivery, reason: DeadReason, to: str | None) -> None:
    """Move it to the dead letters.

    Raises:
        LeaseLostError: the delivery is no longer its receiver's.
    """
    queue, head = delivery.message.queue, letters.head(reason)
    to = to or queue
    if to == queue or len(space.together((queue, to))) == 1:
        done = await space.call(_BURY, keys.of(queue, to), (*receipt(delivery), queue, head))
    else:
        done = await _bury_elsewhere(space, keys, delivery, to, head)
    if not done:
        raise lost_lease(delivery)


async def _bury_elsewhere(space: Keyspace, keys: Keys, delivery: Delivery, to: str, head: bytes) -> bool:
    """On another node of a cluster: filed, and then removed, so that a fault between leaves it in both places."""
    queue = delivery.message.queue
    record = await space.call(_READ_HELD, keys.of(queue), receipt(delivery))
    if record is None:
        return False
    await space.call(_FILE_DEAD, keys.of(to), (letters.origin(queue, receipt(delivery)[0]), head + record))
    return not await space.call(_ACK, keys.of(queue), receipt(delivery))


def receipt(delivery: Delivery) -> tuple[bytes, bytes]:
    """A job's id and the token; of a receipt that is not this driver's, a job that never was."""
    match delivery.receipt:
        case (bytes(job_id), bytes(token)):
            return job_id, token
    return b"", b"-"


def lost_lease(delivery: Delivery) -> LeaseLostError:
    """The delivery was settled, or its lease ran out and another worker has the job."""
    return LeaseLostError(
        f"job {delivery.message.id}: attempt {delivery.attempt} is no longer this worker's; it was settled, or its "
        "lease ran out and another worker has the job. Nothing was changed"
    )


def _outcomes(deliveries: Sequence[Delivery], lost: Iterable[int]) -> list[WaybillError | None]:
    outcomes: list[WaybillError | None] = [None] * len(deliveries)
    for number in lost:
        outcomes[number - 1] = lost_lease(deliveries[number - 1])
    return outcomes


def _itself(delivery: Delivery) -> Delivery:
    return delivery


async def _by_queue(
    items: Sequence[Any], delivery_of: Callable[[Any], Delivery], settle: Callable[[str, Any], Any]
) -> list[Any]:
    """Settle each queue's items together, as a script has the keys of one queue; the outcomes in order."""
    numbers: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        numbers.setdefault(delivery_of(item).message.queue, []).append(number)
    outcomes: list[Any] = [None] * len(items)
    for queue, own in numbers.items():
        for start in range(0, len(own), _AT_ONCE):
            some = own[start : start + _AT_ONCE]
            for number, outcome in zip(some, await settle(queue, [items[each] for each in some]), strict=True):
                outcomes[number] = outcome
    return outcomes

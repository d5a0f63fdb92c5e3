"""How SQS learns what became of a record, and what is done with one that is given up.

Lambda deletes the records that its answer does not name, and leaves the others to their visibility timeout. With the
driver of the queue more can be done: a retry's delay, a dead letter with its reason, and what was not begun is there
for others at once. With any other driver, as in tests, dead letters are kept there, and the answer is all SQS is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from waybill.driver import Delivery, Message
from waybill.errors import DeadReason
from waybill.running.fate import Dead, Done, Dropped, Fate
from waybill.running.run import Run
from waybill.running.settle import Settles, settle
from waybill.sending.connection import Connection

from .event import Handed


class Settlement(Settles, Protocol):
    """What a batch does with its records."""

    async def accept(self, record: Handed) -> Delivery | bool:
        """The delivery that a record stands for, or whether it is over already: one that came early is not run.

        Raises:
            WaybillError: it must come again.
        """
        ...

    async def give_back(self, records: Sequence[Handed]) -> None:
        """Let others have at once what was not begun."""
        ...

    keeps_undecodable: bool
    """Whether what nobody can read is among the dead letters of SQS once it is buried."""


async def seal(settlement: Settlement, run: Run, fate: Fate) -> bool:
    """Settle a delivery; whether Lambda may delete it."""
    known = await settle(settlement, run, fate)
    match fate:
        case Done() | Dropped():
            return True
        case Dead(reason=reason):
            # What nobody can read is SQS's to keep: another broker's dead letters are no place to look for it.
            return known and (reason.code != "undecodable" or settlement.keeps_undecodable)
    return False


@runtime_checkable
class KeepsDead(Protocol):
    """A driver that keeps a dead letter of a message it never delivered."""

    async def keep_dead(self, message: Message, reason: DeadReason, to: str | None = None) -> None: ...


async def keep_dead(connection: Connection, message: Message, reason: DeadReason, to: str | None) -> None:
    """Keep as a dead letter what did not come from the driver.

    Raises:
        WaybillError: it is not kept.
    """
    keeper = connection.driver if isinstance(connection.driver, KeepsDead) else connection
    await keeper.keep_dead(message, reason, to)

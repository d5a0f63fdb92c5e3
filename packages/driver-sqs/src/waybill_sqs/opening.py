"""From an address to a driver that is open: its parts, and whether AWS lets it in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from waybill.errors import ConfigurationError
from waybill.timing import Clock

from .address import Address
from .arrivals import Arrivals, Arrived
from .aws import Aws
from .dead import DeadLetters
from .eventbridge import EventBridge
from .failures import EXPECTED, is_forbidden, is_missing, while_opening
from .looking import Looking
from .names import Names, Place
from .options import SqsOptions
from .places import Places
from .receiving import Receiving
from .records import Record
from .sending import Sending
from .settling import Settling
from .state import State
from .table import Table
from .timetable import Timetable
from .uniqueness import Keys

_ASKED: Final = "default"
"""The queue that is asked for when a driver opens; that it is missing is an answer as good as any."""
_SOME_TIME: Final = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What an open driver is made of."""

    aws: Aws
    places: Places
    sending: Sending
    settling: Settling
    arrivals: Arrivals
    receiving: Receiving
    dead: DeadLetters
    looking: Looking
    state: State | None
    timetable: Timetable | None

    async def admit(self, queue_arn: str, records: Sequence[Record], held: timedelta, taken: float) -> list[Arrived]:
        """Deliveries of records that somebody else has received."""
        place = self.places.place_of(queue_arn.rpartition(":")[2])
        if place is None:
            raise ConfigurationError(
                f"{queue_arn} is none of this application's queues: its name does not begin with "
                f"{self.aws.options.prefix!r}. Give the same prefix= as the sender has, or queues={{name: url}}"
            )
        return await self.arrivals.admit(place, await self.places.url(place), records, held, taken)

    async def close(self) -> None:
        """End receives and give back what polls still bring; let what was settled leave; end the threads."""
        loop, timeout = asyncio.get_running_loop(), self.aws.options.timeout.total_seconds()
        self.aws.closing = True
        end = loop.time() + timeout - min(_SOME_TIME, timeout / 4)
        await self.receiving.end(end - loop.time())
        for batches in (self.sending.batches, self.settling.visibilities, self.settling.deletes):
            await batches.drain(max(end - loop.time(), _SOME_TIME / 4))
        await self.aws.end(max(end - loop.time(), _SOME_TIME / 4))


async def opened(address: Address, options: SqsOptions, given: Mapping[str, str], clock: Clock) -> Parts:
    """The parts of a driver, once AWS has answered a question.

    Raises:
        ConfigurationError: it does not accept the credentials, or what else must be set otherwise.
        BrokerUnavailableError: it cannot be reached.
    """
    aws = Aws(address, options)
    try:
        await _ask(aws, address)
    except BaseException:
        aws.closing = True
        await aws.end()
        raise
    places = Places(aws, Names(options.prefix, options.fifo), given)
    sending = Sending(aws, places, clock)
    settling = Settling(aws, places, sending, clock)
    arrivals = Arrivals(aws, sending, settling, clock)
    receiving = Receiving(aws, places, arrivals)
    dead = DeadLetters(aws, places, sending, settling)
    table = None if options.table is None else Table(aws, clock, options.table)
    timetable, state = None, None
    if table is not None:
        state = State(table, options.prefix)
        timetable = Timetable(table, sending, clock, options.prefix)
        sending.keys = Keys(table, options.prefix)
    if options.scheduler == "eventbridge":
        sending.scheduler = EventBridge(aws, places, clock)
    elif options.scheduler == "dynamodb":
        sending.scheduler = timetable
    looking = Looking(aws, places, sending)
    return Parts(aws, places, sending, settling, arrivals, receiving, dead, looking, state, timetable)


async def _ask(aws: Aws, address: Address) -> None:
    """See that AWS is there and knows us, by a question that needs no right: whether a queue is there."""
    try:
        await aws.prepare()
        name = Names(aws.options.prefix, aws.options.fifo).of(Place(_ASKED))
        await aws.call("get_queue_url", QueueName=name)
    except EXPECTED as error:
        if not is_missing(error) and not is_forbidden(error):
            raise while_opening(error, address.where) from error

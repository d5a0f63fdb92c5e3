"""From a fate to the broker: one verb, repeated while the delivery is still ours."""

from __future__ import annotations

import asyncio
import itertools
import logging
from datetime import timedelta
from typing import Final, Protocol

from ..driver import Delivery
from ..errors import BrokerUnavailableError, DeadReason, EnqueueUnknownError, LeaseLostError, WaybillError
from ..retry import soon
from ..timing import Clock, sleep
from .fate import Again, Dead, Done, Dropped, Fate, Released
from .run import Run

_logger: Final = logging.getLogger("waybill.worker")
_LONGEST_PAUSE: Final = timedelta(seconds=1)
_WITHOUT_LEASE: Final = timedelta(seconds=30)  # a connection's lease has no end of its own


class Settles(Protocol):
    """What a fate needs of a broker: a `Connection`, or whoever stands between a worker and the broker."""

    @property
    def clock(self) -> Clock: ...
    async def ack(self, delivery: Delivery, /) -> None: ...
    async def nack(self, delivery: Delivery, delay: timedelta, /) -> None: ...
    async def release(self, delivery: Delivery, /) -> None: ...
    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None, /) -> None: ...


async def settle(connection: Settles, run: Run, fate: Fate) -> bool:
    """Tell the broker what became of a delivery; whether it knows. What it never learns, the lease brings back.

    A verb that ended in BrokerUnavailableError may have happened: it is repeated while the lease lasts, and a
    LeaseLostError from a repeat is read as settled.
    """
    run.settling = True
    if run.extending is not None:
        await asyncio.wrap_future(run.extending)
    delivery, clock = run.delivery, connection.clock
    deadline = delivery.leased_until or clock.now() + _WITHOUT_LEASE
    for attempt in itertools.count(1):
        try:
            await _tell(connection, delivery, fate)
        except LeaseLostError as error:
            if attempt == 1:
                _log_unsettled(run, error)
            return attempt > 1
        except (BrokerUnavailableError, EnqueueUnknownError) as error:  # the latter: of a copy to the dead letters
            pause = soon(attempt, _LONGEST_PAUSE)
            if clock.now() + pause >= deadline:
                _log_unsettled(run, error)
                return False
            await sleep(clock, pause)
        except Exception as error:
            _log_unsettled(run, error)
            return False
        else:
            return True
    raise AssertionError


async def _tell(connection: Settles, delivery: Delivery, fate: Fate) -> None:
    match fate:
        case Done() | Dropped():
            await connection.ack(delivery)
        case Again(after=after):
            await connection.nack(delivery, after)
        case Dead(reason=reason, to=to):
            await connection.bury(delivery, reason, to)
        case Released():
            await connection.release(delivery)
        case _:
            pass  # lost: there is nothing left to tell


def _log_unsettled(run: Run, error: Exception) -> None:
    known = isinstance(error, WaybillError)
    _logger.warning(
        "job %r (%r) could not be settled, so it may run again: %s",
        run.job_name, run.delivery.message.id, error, exc_info=None if known else error,
    )  # fmt: skip

"""From a fate to the broker: one verb, repeated while the delivery is still ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

from .connection import Connection
from .errors import BrokerUnavailableError, DriverClosedError, LeaseLostError
from .fate import Again, Dead, Done, Dropped, Fate, Released
from .retry import exponential_backoff
from .run import Run
from .timing import sleep

_logger: Final = logging.getLogger("waybill.worker")
_LONGEST_PAUSE: Final = timedelta(seconds=1)
_WITHOUT_LEASE: Final = timedelta(seconds=30)


async def settle(connection: Connection, run: Run, fate: Fate) -> bool:
    """Tell the broker what became of a delivery; whether it knows. What it never learns, the lease brings back.

    A verb that ended in BrokerUnavailableError may have happened: it is repeated while the lease lasts, and a
    LeaseLostError from a repeat is read as settled.
    """
    run.settling = True
    if run.extending is not None:
        await asyncio.wrap_future(run.extending)
    attempt = 0
    while True:
        try:
            verb = _verb(connection, run, fate)
            if verb is not None:
                await verb
            return True
        except LeaseLostError as error:
            if attempt == 0:
                _logger.warning("job %r (%r): too late to settle: %s", run.job_name, run.delivery.message.id, error)
            return attempt > 0
        except BrokerUnavailableError as error:
            attempt += 1
            pause = min(exponential_backoff(attempt) / 20, _LONGEST_PAUSE)
            if connection.clock.now() + pause >= (run.delivery.leased_until or connection.clock.now() + _patience(attempt)):
                _logger.error("job %r (%r) could not be settled and will run again: %s", run.job_name, run.delivery.message.id, error)
                return False
            await sleep(connection.clock, pause)
        except DriverClosedError:
            _logger.error("job %r (%r) could not be settled and will run again: the driver is closed", run.job_name, run.delivery.message.id)
            return False
        except Exception:
            _logger.exception("job %r (%r) could not be settled and will run again", run.job_name, run.delivery.message.id)
            return False


def _patience(attempt: int) -> timedelta:
    """Without a lease of its own a delivery ends with the connection, so a few repeats tell."""
    return _WITHOUT_LEASE if attempt < 30 else timedelta()  # noqa: PLR2004


def _verb(connection: Connection, run: Run, fate: Fate) -> Awaitable[None] | None:
    delivery = run.delivery
    match fate:
        case Done() | Dropped():
            return connection.ack(delivery)
        case Again(after=after):
            return connection.nack(delivery, after)
        case Dead(reason=reason, to=to):
            return connection.bury(delivery, reason, to)
        case Released():
            return connection.release(delivery)
        case _:
            return None

"""Amazon SQS: what is due much later.

The group `waybill sqs`; `waybill.cli` reads this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Final

import typer

from waybill.cli.application import find_service
from waybill.cli.failures import CommandError
from waybill.cli.logs import configure_logging
from waybill.cli.output import say
from waybill.cli.settings import Settings
from waybill.drivers import open_driver
from waybill.errors import WaybillError

from .driver import SqsDriver

__all__ = ["cancel", "scheduler"]

_PAUSE: Final = 20.0  # seconds; a run looks two minutes ahead
_WITHIN: Final = timedelta(seconds=50)
_logger: Final = logging.getLogger("waybill.sqs")


def scheduler(settings: Settings) -> None:
    """Send what scheduler=dynamodb keeps when it is due, until SIGTERM or Ctrl-C. Any number may run at once."""
    driver = _driver(settings)
    configure_logging(settings)
    if driver.options.table is None:
        raise CommandError("there is no table; write sqs://region?scheduler=dynamodb&table=name")
    asyncio.run(_run(driver))


def cancel(
    settings: Settings,
    queue: Annotated[str, typer.Argument(help="Its queue.")],
    job_id: Annotated[str, typer.Argument(help="The id that enqueue returned.")],
) -> None:
    """Take back a job that EventBridge or the table still keeps; exit code 1 if it is too late."""
    driver = _driver(settings)
    configure_logging(settings)

    async def take_back() -> bool:
        async with _opened(driver):
            return await driver.cancel_scheduled(queue, job_id)

    if not asyncio.run(take_back()):
        raise CommandError(f"job {job_id} is not with the scheduler: it was sent, or was never there", exit_code=1)
    say(f"Job {job_id} will not start.")


async def _run(driver: SqsDriver) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _opened(driver):
        _logger.info("sending what is due from table %s", driver.options.table)
        while not stop.is_set():
            try:
                if sent := await driver.send_due(within=_WITHIN):
                    _logger.info("sent %d messages that are due", sent)
            except WaybillError as error:
                _logger.warning("what is due is sent a little later: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE):
                    await stop.wait()


@contextlib.asynccontextmanager
async def _opened(driver: SqsDriver) -> AsyncIterator[None]:
    await driver.open()
    try:
        yield
    finally:
        await driver.close()


def _driver(settings: Settings) -> SqsDriver:
    source = find_service(settings).driver
    driver = open_driver(source) if isinstance(source, str) else source() if callable(source) else source
    if not isinstance(driver, SqsDriver):
        raise CommandError(f"this is for SQS, and the broker is {driver!r}")
    return driver

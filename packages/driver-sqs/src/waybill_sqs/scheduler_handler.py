"""A function for Lambda that is run each minute, and sends what scheduler=dynamodb keeps and is due."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import timedelta
from typing import Any, Final

from waybill.driver import BrokerUrl
from waybill.errors import ConfigurationError

from .driver import SqsDriver

_SPARE: Final = 5.0
"""Seconds of the function's time that are left for what is under way."""
_DEFAULT: Final = 50.0
"""Seconds, where nobody says how much time there is."""
_logger: Final = logging.getLogger("waybill.sqs")


def create_scheduler_handler(
    driver: SqsDriver | str | None = None, *, table: str | None = None, **options: Any
) -> SchedulerHandler:
    """The handler of a Lambda function that runs each minute; it returns `{"sent": <number of messages>}`.

    It catches up after minutes that were missed, and goes on with the next run where the time of one does not suffice.
    Clients are made once for each container.

    Args:
        driver: a driver, or the URL of one; by default WAYBILL_URL says it.
        table: the DynamoDB table, where the driver or the URL does not name it.
        options: further ones of `SqsDriver`, such as `queues`.

    Raises:
        ConfigurationError: no table is named.
    """
    if not isinstance(driver, SqsDriver):
        url = driver if driver is not None else os.environ.get("WAYBILL_URL", "sqs://")
        if table is not None:
            options["table"] = table
        driver = SqsDriver(BrokerUrl.parse(url), **options)
    elif table is not None and table != driver.options.table:
        raise ConfigurationError(f"the driver's table is {driver.options.table!r}, and table={table!r} is another one")
    if driver.options.table is None:
        raise ConfigurationError("a scheduler needs table=, the DynamoDB table that the senders write to")
    return SchedulerHandler(driver)


class SchedulerHandler:
    """A function for Lambda; `close` ends what it has opened, where that matters."""

    def __init__(self, driver: SqsDriver) -> None:
        self._driver, self._runner = driver, asyncio.Runner()

    def __call__(self, event: Any = None, context: Any = None) -> dict[str, int]:
        """Send what is due in the time that the function has left."""
        seconds = _DEFAULT
        if context is not None and hasattr(context, "get_remaining_time_in_millis"):
            seconds = max(context.get_remaining_time_in_millis() / 1000 - _SPARE, _SPARE)
        sent = self._runner.run(self._run(seconds))
        _logger.info("sent %d messages that are due", sent)
        return {"sent": sent}

    def close(self) -> None:
        """Disconnect."""
        self._runner.run(self._driver.close())
        self._runner.close()

    async def _run(self, seconds: float) -> int:
        await self._driver.open()
        return await self._driver.send_due(within=timedelta(seconds=seconds))

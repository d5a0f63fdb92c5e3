"""What runs need besides a delivery, made once: connections that were checked, hooks, services and threads."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from ..driver import Diagnoses
from ..errors import ConfigurationError
from ..jobs.context import Flag
from ..plugins import Hooks
from ..sending.broker import Broker
from ..sending.inline import entered_services
from ..sending.service import JobService
from .execute import Executor

_logger: Final = logging.getLogger("waybill.worker")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Ready to run deliveries of one service, whoever received them."""

    service: JobService
    hooks: Hooks
    """The service's and the worker's."""
    services: Any
    """What handlers find as `ctx.services`."""
    pool: ThreadPoolExecutor
    """Where plain handlers run."""
    threads: int

    def executor(self, shutting_down: Flag) -> Executor:
        """Runs deliveries until *shutting_down*, which handlers see as `ctx.shutting_down`."""
        return Executor(self.service, self.hooks, self.services, self.pool, self.threads, shutting_down)


@asynccontextmanager
async def prepared(
    service: JobService,
    brokers: Iterable[Broker],
    functions: Mapping[str, Callable[..., Any] | None],
    threads: int,
) -> AsyncIterator[Prepared]:
    """Connect, check the jobs against the brokers' claims and settings, and make what runs need.

    Args:
        service: whose jobs.
        brokers: those that jobs will be received from.
        functions: on_job_start, on_job_complete, ...: the worker's own hook functions.
        threads: how many plain handlers may run at a time.

    Raises:
        ConfigurationError, BrokerUnavailableError: what is wrong, and what to do.
    """
    async with AsyncExitStack() as stack:
        was_open = service.broker.connected is not None
        await service.open()
        if not was_open:
            stack.push_async_callback(service.disconnect)
        await service.check()
        for broker in brokers:
            await _diagnose(broker)
        hooks = service.hooks.extended(functions)
        services = await stack.enter_async_context(entered_services(service.services))
        pool = ThreadPoolExecutor(threads, thread_name_prefix="waybill-job")
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        yield Prepared(service, hooks, services, pool, threads)


async def _diagnose(broker: Broker) -> None:
    driver = (await broker.connect()).driver
    if not isinstance(driver, Diagnoses):
        return
    notes = await driver.diagnose()
    for each in notes:
        if each.level == "warning":
            _logger.warning("%s: %s", each.fact, each.cure)
    errors = [f"{each.fact}; {each.cure}" for each in notes if each.level == "error"]
    if errors:
        raise ConfigurationError(f"the broker would lose jobs: {' '.join(errors)}")

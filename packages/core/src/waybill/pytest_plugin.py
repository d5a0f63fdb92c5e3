"""Fixtures for tests of applications: a broker in memory, on a clock that the test turns.

They come with the package: pytest finds this plugin by its entry point, and it does nothing until one is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .sending.service import JobService
    from .testing import MemoryDriver, VirtualClock


@pytest.fixture
def waybill_clock() -> VirtualClock:
    """A virtual clock at the beginning of 2026."""
    from .testing import VirtualClock

    return VirtualClock()


@pytest.fixture
def waybill_driver(waybill_clock: VirtualClock) -> MemoryDriver:
    """A broker in memory, on `waybill_clock`."""
    from .testing import MemoryDriver

    return MemoryDriver(clock=waybill_clock)


@pytest.fixture
def waybill_service(waybill_driver: MemoryDriver) -> Callable[..., JobService]:
    """Makes services on `waybill_driver`: `waybill_service(jobs=[send_welcome])`."""
    from .sending.service import JobService

    def make(**options: Any) -> JobService:
        return JobService(waybill_driver, **options)

    return make


@pytest.fixture
def waybill_app(waybill_driver: MemoryDriver) -> Iterator[Callable[[JobService], JobService]]:
    """Puts an application's own service on `waybill_driver` until the test ends: `waybill_app(shop.service)`."""
    from .testing import use_driver

    with contextlib.ExitStack() as stack:

        def swap(service: JobService) -> JobService:
            return stack.enter_context(use_driver(service, waybill_driver))

        yield swap

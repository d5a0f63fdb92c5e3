"""A memory driver on a virtual clock, and what ran."""

import pytest

from waybill import JobService
from waybill.testing import MemoryDriver, VirtualClock


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in ("APP", "URL", "QUEUES", "DEFAULT_QUEUE"):
        monkeypatch.delenv(f"WAYBILL_{name}", raising=False)


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def driver(clock):
    return MemoryDriver(clock=clock)


@pytest.fixture
def service(driver):
    return JobService(driver)


@pytest.fixture
def ran():
    return []

"""A virtual clock, a memory driver on it, and drivers that lack verbs, fail or wait."""

import asyncio
import os
from dataclasses import replace

import pytest

from waybill import JobService
from waybill.testing import MemoryDriver, VirtualClock

PATIENCE = float(os.environ.get("WAYBILL_TEST_PATIENCE", "10"))  # seconds until a condition must hold
SIX = ("open", "close", "enqueue", "enqueue_in", "enqueue_at", "receive", "ack", "nack")


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
def wrapped():
    """A driver with the six verbs of *inner* and some more, other claims, and *before* awaited before each call."""

    def wrap(inner, *verbs, before=None, any_loop=False, **claims):
        calls, limits = [], []

        def verb(name):
            async def call(self, *args, **kwargs):
                calls.append((name, args))
                limits.extend([kwargs["limit"]] if "limit" in kwargs else [])
                if before is not None:
                    await before(name, *args)
                return await getattr(inner, name)(*args, **kwargs)

            return call

        members = {name: verb(name) for name in SIX + verbs}
        members["capabilities"] = property(lambda self: replace(inner.capabilities, **claims))
        members |= {"inner": inner, "clock": inner.clock, "calls": calls, "limits": limits, "any_loop": any_loop}
        return type("Wrapped", (), members)()

    return wrap


@pytest.fixture
def until():
    """Let the loop (and threads) go on until a condition holds."""

    async def wait(condition):
        async with asyncio.timeout(PATIENCE):
            rounds = 0
            while not condition():
                rounds += 1
                await asyncio.sleep(0 if rounds < 50 else 0.002)

    return wait

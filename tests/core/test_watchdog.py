"""What holds up a worker is reported: a handler that blocks the loop, and a plain one past its timeout."""

import asyncio
import logging
import threading
import time

import pytest

from waybill import JobService, Worker, define_job
from waybill.running.watchdog import Watchdog
from waybill.testing import MemoryDriver, run_until_idle


@pytest.fixture
def quick(monkeypatch):
    """A watchdog that barks after a tenth of a second."""
    monkeypatch.setattr("waybill.running.worker.Watchdog", lambda runs: Watchdog(runs, limit=0.1))


def reports(caplog):
    return [each.getMessage() for each in caplog.records if each.name == "waybill.watchdog"]


@pytest.mark.blocks_the_loop
async def test_a_handler_that_blocks_the_loop_is_reported_once_with_its_stack(quick, caplog):
    async def sleeps_wrongly(ctx):
        await asyncio.sleep(0.12)
        time.sleep(0.5)

    service = JobService(MemoryDriver(), jobs=[define_job(name="blocking", handler=sleeps_wrongly)])
    await service.enqueue("blocking", job_id="id1")
    assert await run_until_idle(service) == 1
    [report] = reports(caplog)
    assert "'blocking' ('id1') has blocked the event loop" in report
    assert "sleeps_wrongly" in report
    assert "time.sleep(0.5)" in report


async def test_a_handler_that_waits_is_not_reported(quick, caplog):
    async def waits():
        await asyncio.sleep(0.4)

    service = JobService(MemoryDriver(), jobs=[define_job(name="x", handler=waits)])
    await service.enqueue("x")
    await run_until_idle(service)
    assert reports(caplog) == []


@pytest.mark.blocks_the_loop
async def test_a_blocked_loop_without_a_job_is_nobodys(quick, caplog):
    async with Worker(JobService(MemoryDriver())):
        time.sleep(0.3)
    assert reports(caplog) == []


async def test_a_plain_handler_past_its_timeout_keeps_its_slot_and_is_reported(driver, clock, until, caplog):
    release, started, next_started = threading.Event(), [], []

    def hangs(ctx):
        started.append(ctx)
        release.wait(10)

    service = JobService(driver, jobs=[define_job(name="other", handler=lambda: next_started.append(1))])
    await service.enqueue(define_job(name="hangs", handler=hangs, timeout="30s", retry=1), job_id="id1")
    async with Worker(service, concurrency=1):
        await until(lambda: started)
        await service.enqueue("other")
        clock.advance("30s")
        await until(lambda: bool(started[0].cancelled))
        for _ in range(20):
            await asyncio.sleep(0)
        assert next_started == []
        assert (await driver.clone().stats("default")).leased == 1
        release.set()
        await until(lambda: next_started)
    [report] = [each.getMessage() for each in caplog.records if "past its timeout" in each.getMessage()]
    assert "'hangs' (id1)" in report
    assert "release.wait(10)" in report
    assert driver.dead[0].reason.code == "exhausted"


async def test_it_configures_no_logging(caplog):
    def configured():
        root, ours = logging.getLogger(), logging.getLogger("waybill")
        return list(root.handlers), root.level, list(ours.handlers), ours.level

    before = configured()
    await run_until_idle(JobService(MemoryDriver()))
    assert configured() == before

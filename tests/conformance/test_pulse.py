"""A case that fails while the machine stands still is carried out again, and the ledger tells; no other one is."""

import asyncio
import os
import subprocess
import time
from datetime import timedelta

import pytest

from waybill.testing import MemoryDriver, VirtualClock
from waybill.timing import ZERO
from waybill_conformance import LEASE, Harness
from waybill_conformance.case import Case
from waybill_conformance.claims import Summary
from waybill_conformance.ledger import Result
from waybill_conformance.pulse import Pulse
from waybill_conformance.report import as_json, as_text
from waybill_conformance.suite import ATTEMPTS, Suite


class RealTime(Harness):
    async def open(self, *, lease=LEASE):
        driver = MemoryDriver(lease=lease, clock=self.clock) if self.clock else MemoryDriver(lease=lease)
        await driver.open()
        return driver


class Simulated(RealTime):
    clock = VirtualClock()


def stand_still():
    """Nothing of this process runs for a while."""
    subprocess.Popen(["/bin/sh", "-c", 'kill -STOP "$1"; sleep 0.4; kill -CONT "$1"', "x", str(os.getpid())]).wait()


def carried_out(body, harness):
    """What the ledger is told, and what the case ended with."""
    case, properties = Case("test_it", ("delivery",), body), []
    try:
        Suite(harness).run(case, properties)
    except Exception as error:
        return properties[0][1], error
    return properties[0][1], None


@pytest.fixture
def failing():
    """A case that fails the first so many times, while the machine stands still or not, and its runs."""
    runs = []

    def make(times, *, still):
        async def body(bench):
            await bench.driver.enqueue(bench.message(bench.queue()))
            runs.append(1)
            if len(runs) <= times:
                if still:
                    stand_still()
                raise AssertionError("too late")

        return body

    return make, runs


def test_a_pulse_tells_how_long_the_machine_stood_still():
    with Pulse() as pulse:
        stand_still()
        time.sleep(0.1)
    assert pulse.stood_still >= 0.3


@pytest.mark.blocks_the_loop
@pytest.mark.parametrize("runs", [1, 3])
def test_a_case_that_waited_for_nothing_is_carried_out_again_if_the_broker_let_it_wait_too_long(runs):
    """A lease that the case did not wait out may be over then."""
    late = iter([0.3] * runs)

    class StandsStill(MemoryDriver):
        async def receive(self, queue, *, limit, wait):
            await asyncio.sleep(next(late, 0))
            return await super().receive(queue, limit=limit, wait=ZERO)

    class Late(Harness):
        async def open(self, *, lease=LEASE):
            driver = StandsStill(lease=timedelta(seconds=0.2))
            await driver.open()
            return driver

    async def body(bench):
        queue = bench.queue()
        await bench.put(queue)
        await MemoryDriver.receive(bench.driver, queue, limit=1, wait=ZERO)
        await bench.nothing(queue)

    told, error = carried_out(body, Late())
    assert (error is None) == (runs < ATTEMPTS)
    assert told["stood_still"] >= 0.3


@pytest.mark.blocks_the_loop
def test_a_case_that_failed_while_the_machine_stood_still_is_carried_out_again_and_told(failing):
    make, runs = failing
    told, error = carried_out(make(1, still=True), RealTime())
    assert error is None
    assert len(runs) == 2
    assert told["stood_still"] >= 0.3


@pytest.mark.blocks_the_loop
def test_a_case_that_fails_each_time_fails_however_busy_the_machine_is(failing):
    make, runs = failing
    _, error = carried_out(make(99, still=True), RealTime())
    assert str(error) == "too late"
    assert len(runs) == ATTEMPTS


@pytest.mark.blocks_the_loop
def test_where_time_is_virtual_nothing_is_carried_out_again(failing):
    make, runs = failing
    _, error = carried_out(make(99, still=True), Simulated())
    assert str(error) == "too late"
    assert len(runs) == 1


def test_on_a_steady_machine_nothing_is_carried_out_again(failing, monkeypatch):
    monkeypatch.setattr("waybill_conformance.pulse.IRREGULAR", 1e9)  # this one may be busy
    make, runs = failing
    told, error = carried_out(make(99, still=False), RealTime())
    assert str(error) == "too late"
    assert len(runs) == 1
    assert "stood_still" not in told


def test_the_ledger_and_the_report_tell_what_was_carried_out_again():
    results = {
        "test_late": Result("test_late", ("delivery",), twin=False, outcome="passed", stood_still=1.25),
        "test_fine": Result("test_fine", ("delivery",), twin=False, outcome="passed"),
    }
    claims = Summary("Driver", "1", [], {}, [])
    assert (
        "1 carried out again, as this machine or the broker stood still for up to 1.2 s meanwhile: test_late"
        in " ".join(as_text(claims, [], results, width=200, colour=False).split())
    )
    assert as_json(claims, [], results, [])["repeated"] == {"test_late": 1.25}

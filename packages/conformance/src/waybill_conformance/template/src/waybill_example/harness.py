"""What the conformance suite needs to hold this driver to its claims."""

from __future__ import annotations

from datetime import timedelta

from waybill.testing import VirtualClock
from waybill_conformance import LEASE, Harness

from .driver import ExampleDriver, StandIn


class ExampleHarness(Harness):
    """Opens the driver on one broker, and does to it what the broker can bear."""

    suite = "0.1"

    def __init__(self) -> None:
        # A real broker has no such clock: leave it out, and the suite waits in real time.
        self.clock = VirtualClock()
        self._broker = StandIn(self.clock)

    async def open(self, *, lease: timedelta = LEASE) -> ExampleDriver:
        """A fresh driver, opened, on the same broker each time. The first call may start the broker."""
        driver = ExampleDriver(self._broker, lease=lease)
        await driver.open()
        return driver

    # Define what you can do to the broker, each an `async def`, and more can be proven:
    #   restart()            kill it the hard way and start it again; any durability beyond "process" needs it
    #   pause(), resume()    let it stand still: connections are accepted and nothing is answered
    #   cut()                let every open connection die; a lease of the connection's needs it
    #   raw(queue, body)     put foreign bytes into a queue, as another program would
    # and set `url`, where another process reaches the same broker.
    #
    # A case that the broker cannot pass is named here, with the reason. It is printed in every ledger, and the run
    # fails once the case passes: known_gaps = {"test_name_of_the_case": "why"}

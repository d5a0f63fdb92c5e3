"""Which failed test runs once more, and that the summary tells of it, with all that its first run said.

What has real brokers, processes and leases has real time, and the machine may have other things to do: a test that
failed while it stood still runs again, as the suite does it with its cases. On a machine that keeps time nothing does.

CI also lets a few others run again, `WAYBILL_RERUNS` in each process: of thousands of tests against real servers one may
meet what happens once in thousands of times. It is as much of a fault as any and is looked into, but does not keep
everything else from landing; and whatever fails twice, or fails in more tests than that, fails.
"""

import os

import pytest
from _pytest.runner import runtestprotocol

from waybill_conformance.pulse import IRREGULAR, Pulse

_WHY = "ran twice"
_LONGEST = 20_000  # characters


class Reruns:
    """Watches the tests of one process."""

    def __init__(self):
        self._pulse = Pulse()
        self._left = int(os.environ.get("WAYBILL_RERUNS", "0"))

    def pytest_sessionstart(self):
        self._pulse.__enter__()

    def pytest_sessionfinish(self):
        self._pulse.__exit__(None, None, None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        before = self._pulse.stood_still
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = [each for each in reports if each.failed]
        why = self._excuse(self._pulse.stood_still - before) if failed else None
        if why is not None:
            item._initrequest()
            first = "\n".join(each.longreprtext for each in failed)[-_LONGEST:]
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            reports[-1].user_properties.append((_WHY, f"{why}. First it said:\n{first}"))
        for each in reports:
            item.ihook.pytest_runtest_logreport(report=each)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _excuse(self, stood_still):
        if stood_still >= IRREGULAR:
            return f"the machine stood still for {stood_still:.1f} s"
        if self._left > 0:
            self._left -= 1
            return "it failed, for a reason yet to be found"
        return None

    def pytest_terminal_summary(self, terminalreporter):
        reports = {id(each): each for some in terminalreporter.stats.values() for each in some}.values()
        for report in reports:
            for name, told in getattr(report, "user_properties", ()):
                if name == _WHY:
                    terminalreporter.section(f"RAN TWICE: {report.nodeid}", yellow=True)
                    terminalreporter.write_line(told)

"""A test that failed while the machine stood still runs once more, and the summary tells: it may have been the machine.

What has real brokers, processes and leases has real time, and this machine may have other things to do. The suite does
the same with its cases. On a machine that keeps time nothing runs twice.
"""

import pytest
from _pytest.runner import runtestprotocol

from waybill_conformance.pulse import IRREGULAR, Pulse


class Standstill:
    """Watches the tests of one process."""

    def __init__(self):
        self._pulse = Pulse()

    def pytest_sessionstart(self):
        self._pulse.__enter__()

    def pytest_sessionfinish(self):
        self._pulse.__exit__(None, None, None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        before = self._pulse.stood_still
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        stood_still = self._pulse.stood_still - before
        if any(each.failed for each in reports) and stood_still >= IRREGULAR:
            item._initrequest()
            told = ("stood still", f"{stood_still:.1f} s, and first: {_first_words(reports)}")
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            reports[-1].user_properties.append(told)
        for each in reports:
            item.ihook.pytest_runtest_logreport(report=each)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter):
        reports = {id(each): each for some in terminalreporter.stats.values() for each in some}.values()
        for report in reports:
            for name, told in getattr(report, "user_properties", ()):
                if name == "stood still":
                    terminalreporter.write_line(f"RAN TWICE: {report.nodeid}: the machine stood still for {told}")


def _first_words(reports):
    failed = next(each for each in reports if each.failed)
    crash = getattr(failed.longrepr, "reprcrash", None)
    return str(failed.longrepr if crash is None else crash.message).partition("\n")[0][:200]

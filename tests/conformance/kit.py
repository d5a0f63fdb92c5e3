"""Carry out single cases of the suite against a driver class, without a pytest of their own."""

import importlib
import pkgutil

import pytest

from waybill.testing import MemoryDriver, VirtualClock
from waybill_conformance import LEASE, Harness, cases
from waybill_conformance.suite import NotConcernedError, Suite


def all_cases():
    """Every case of the suite, by name."""
    found = {}
    for module in pkgutil.iter_modules(cases.__path__, f"{cases.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.startswith("test_") and hasattr(value, "case"):
                found[name] = value.case
    return found


CASES = all_cases()


class ClassHarness(Harness):
    """Opens drivers of one class, a MemoryDriver's child; all share one store."""

    patience = 0.2  # a mutant that hangs is waited for

    def __init__(self, kind):
        self.clock = VirtualClock()
        self._kind, self._first = kind, None

    async def open(self, *, lease=LEASE):
        if self._first is None:
            self._first = self._kind(clock=self.clock, lease=lease, recording=False)
        clone = MemoryDriver.clone if getattr(self._kind, "clones_badly", False) else self._kind.clone
        driver = clone(self._first)
        await driver.open()
        return driver


def verdict(harness, name):
    """What a case says: None if it passes, "not concerned", or the exception."""
    try:
        Suite(harness).run(CASES[name], [])
    except NotConcernedError:
        return "not concerned"
    except (Exception, pytest.fail.Exception) as error:
        return error
    return None

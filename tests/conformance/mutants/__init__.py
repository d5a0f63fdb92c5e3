"""Drivers with one fault each, and the case that must notice it.

Each is the memory driver with one bug that a driver for a real broker could have. `tests/conformance/test_mutants.py`
holds every one against the case it names, and sees that every case has a mutant that only sharp eyes tell from honest.
"""

from waybill.testing import MemoryDriver

MUTANTS: dict[type[MemoryDriver], tuple[str, ...]] = {}


def killed_by(*cases):
    """Register a mutant; each of the named cases must fail on it."""

    def register(kind):
        MUTANTS[kind] = tuple(cases)
        return kind

    return register

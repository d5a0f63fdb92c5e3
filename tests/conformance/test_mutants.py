"""The suite bites: every mutant dies by the case it names, and every case has a mutant."""

import importlib
import pkgutil

import pytest
from waybill.testing import MemoryDriver
from waybill_conformance import manifest

from . import mutants
from .kit import CASES, ClassHarness, verdict

for module in pkgutil.iter_modules(mutants.__path__, f"{mutants.__name__}."):
    importlib.import_module(module.name)

KILLS = [pytest.param(kind, case, id=f"{kind.__name__}-{case}") for kind, found in mutants.MUTANTS.items() for case in found]


@pytest.mark.parametrize(("mutant", "case"), KILLS)
def test_a_mutant_dies_by_the_case_it_names(mutant, case):
    outcome = verdict(ClassHarness(mutant), case)
    assert isinstance(outcome, Exception), f"{mutant.__name__} survives {case}: {outcome or 'it passes'}"


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_honest_driver_passes(case):
    outcome = verdict(ClassHarness(MemoryDriver), case)
    assert outcome is None or outcome == "not concerned", repr(outcome)


def test_the_published_cases_are_those_that_exist():
    assert sorted(manifest.published()) == sorted(CASES)

"""The suite bites: every mutant dies by the case it names, and every case has a mutant that dies by it."""

import importlib
import pkgutil

import pytest

from waybill.testing import MemoryDriver
from waybill_conformance import manifest
from waybill_conformance.claims import names
from waybill_sqlite import SqliteDriver
from waybill_sqlite.harness import SqliteHarness

from . import mutants
from .kit import CASES, ClassHarness, verdict
from .mutants.core import FAULTS as FAULTS_OF_THE_CORE
from .mutants.schedules import FAULTS as FAULTS_OF_SCHEDULES
from .simulated import LinkedDriver, LinkedHarness

for module in pkgutil.iter_modules(mutants.__path__, f"{mutants.__name__}."):
    importlib.import_module(module.name)

FAULTS = [*FAULTS_OF_THE_CORE, *FAULTS_OF_SCHEDULES]
KILLS = [
    pytest.param(kind, case, id=f"{kind.__name__}-{case}") for kind, found in mutants.MUTANTS.items() for case in found
]


class FileHarness(SqliteHarness):
    """Opens a broken SQLite driver on a file that honest processes share."""

    kind = SqliteDriver
    patience = 1.0  # a mutant that hangs is waited for

    async def open(self, **options):
        honest = await super().open(**options)
        await honest.close()
        broken = self.kind(honest.path, lease=honest.options.lease)
        await broken.open()
        return broken


@pytest.fixture
def harness_of(tmp_path):
    def make(kind):
        if issubclass(kind, SqliteDriver):
            harness = FileHarness()
            harness.kind, harness.url = kind, f"sqlite:///{tmp_path}/shared.db"
            made.append(harness)
            return harness
        return LinkedHarness(kind) if issubclass(kind, LinkedDriver) else ClassHarness(kind)

    made = []
    yield make
    for each in made:
        each.remove()


@pytest.mark.blocks_the_loop
@pytest.mark.parametrize(("mutant", "case"), KILLS)
def test_a_mutant_dies_by_the_case_it_names(mutant, case, harness_of):
    outcome = verdict(harness_of(mutant), case)
    assert isinstance(outcome, BaseException), f"{mutant.__name__} survives {case}: {outcome or 'it passes'}"


@pytest.mark.parametrize(("place", "name", "fault", "driver", "case"), FAULTS)
def test_a_fault_of_the_core_is_noticed(place, name, fault, driver, case, monkeypatch):
    assert verdict(ClassHarness(driver), case) is None
    monkeypatch.setattr(place, name, fault)
    assert isinstance(verdict(ClassHarness(driver), case), BaseException)


@pytest.mark.parametrize("case", sorted(CASES))
def test_every_case_has_a_mutant(case):
    killers = {name for found in mutants.MUTANTS.values() for name in found} | {fault[-1] for fault in FAULTS}
    assert case in killers, "without one nobody would notice if this case were emptied"


@pytest.mark.parametrize("claim", sorted(names()))
def test_every_claim_has_a_case(claim):
    assert any(claim in case.claims and not case.twin for case in CASES.values()), "a lie about it would stand"


@pytest.mark.blocks_the_loop
@pytest.mark.parametrize("case", sorted(CASES))
def test_the_honest_driver_passes(case):
    outcome = verdict(ClassHarness(MemoryDriver), case)
    assert outcome is None or outcome == "not concerned", repr(outcome)


def test_the_published_cases_are_those_that_exist():
    assert sorted(manifest.published()) == sorted(CASES), "write them down: nox -s tables"

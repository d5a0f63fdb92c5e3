"""The pytest plugin: options, which cases run, and the ledger at the end. It is inert without its options."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from .case import Case, case_of
from .claims import Summary
from .finding import find_harness
from .harness import Harness
from .ledger import Result, Row, rows
from .manifest import cases, missing_cases
from .running import run
from .suite import OPENING, SUITE, TO_A_BROKER, NotConcernedError, Suite

OPTIONS: Final = {
    "--driver": "scheme of the driver to test; its harness is looked up among `waybill.harnesses`",
    "--harness": "harness to test with, as module:Class",
    "--url": "broker to use instead of one that the harness starts",
    "--report": "file for the ledger as JSON",
}
KEY: Final = pytest.StashKey["Run"]()
NOTHING: Final = Summary("", "", [], {}, [])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("waybill-conformance", "prove what a Waybill driver claims")
    for name, text in OPTIONS.items():
        group.addoption(name, dest=f"waybill_{name.removeprefix('--')}", default=None, help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Take part only where a driver is named."""
    if config.getoption("waybill_driver") or config.getoption("waybill_harness"):
        config.pluginmanager.register(Run(config), "waybill-conformance-run")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse to run cases against nothing."""
    if KEY not in config.stash and any(case_of(item) for item in items):
        raise pytest.UsageError(
            "these are the cases of waybill-conformance: name a driver with --driver SCHEME or --harness module:Class"
        )


class Run:
    """One run of the suite, as pytest goes through it."""

    def __init__(self, config: pytest.Config) -> None:
        config.stash[KEY] = self
        self.config = config
        self.is_worker = hasattr(config, "workerinput")
        self.claims: Summary | None = None
        self.results: dict[str, Result] = {}
        self.problems: list[str] = []
        self.whole = False
        self.suite: Suite | None = None
        self.lender: Harness | None = None
        self.lent: str | None = None

    # -- before ----------------------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        harness, own = self._find(), None
        if _distributes(self.config):
            return  # the workers open it
        if (lent := getattr(self.config, "workerinput", {}).get("waybill_url")) is not None:
            harness.borrow(lent)
            own = self._find()
        try:
            self.suite = self.config.stash[SUITE] = Suite(harness, own)
        except Exception as error:
            self.problems.append(f"“a harness opens a driver” is broken: {type(error).__name__}: {error}")
            return
        self.claims = self.suite.claims.summary()
        if self.is_worker:
            self.config.workeroutput["waybill_claims"] = self.claims.as_dict()  # type: ignore[attr-defined]

    def _find(self) -> Harness:
        option = self.config.getoption
        return find_harness(option("waybill_driver"), option("waybill_harness"), option("waybill_url"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """One broker for all processes of pytest-xdist, where it can be had; the cases that stop it take another."""
        if self.lender is None:
            lender = self.lender = self._find()
            with suppress(Exception):  # then each process tells for itself
                seconds = OPENING * lender.patience
                self.lent = run(lender.share, seconds=seconds, what="starting a broker", starts=True)
        node.workerinput["waybill_url"] = self.lent

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """One process runs all cases that stop the broker: each that does starts its own."""
        if config.getoption("dist") != "load":
            return None
        from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

        stopping = {case.name for case in cases() if case.power in TO_A_BROKER}

        class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
            def _split_scope(self, nodeid: str) -> str:
                return "stops the broker" if nodeid.rpartition("::")[2] in stopping else nodeid

        return Scheduling(config, log)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        collected = {case.name: item for item in items if (case := case_of(item))}
        if not collected:
            return
        self.whole = not any("::" in arg for arg in self.config.args)
        if self.whole and (missing := missing_cases(collected, self.config)):
            self.problems.append(f"cases are missing from the installed suite: {', '.join(missing)}")
        if self.config.option.keyword or self.config.option.markexpr or self.config.option.deselect:
            self.whole = False
        if self.suite is not None:
            self._expect_gaps(self.suite.harness.known_gaps, collected)
        elif not _distributes(self.config):
            items[:] = [item for item in items if case_of(item) is None]  # there is nothing to hold to them

    def _expect_gaps(self, gaps: Mapping[str, str], cases: Mapping[str, pytest.Item]) -> None:
        for name, reason in gaps.items():
            if name in cases:
                cases[name].add_marker(pytest.mark.xfail(reason=reason, strict=True))
            elif self.whole:
                self.problems.append(f"known_gaps names a case that does not exist: {name}")

    @pytest.hookimpl(trylast=True, specname="pytest_collection_modifyitems")
    def pytest_longest_first(self, items: list[pytest.Item]) -> None:
        """So that the processes of pytest-xdist end at about the same time."""
        if self.is_worker:
            items.sort(key=lambda item: 0.0 if (case := case_of(item)) is None else -case.seconds)

    # -- during ----------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        case = case_of(item)
        if case is not None and report.skipped and not hasattr(report, "wasxfail"):
            self._refuse_to_skip(case, call, report)
        if case is not None and report.when == "call" and case.name not in _recorded(report):
            report.user_properties.append(("waybill", _record_of(case)))
        if case is not None and report.when == "setup" and report.failed:
            report.user_properties.append(("waybill", _record_of(case)))
        return report

    def _refuse_to_skip(self, case: Case, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """A case runs or does not concern the driver; any other skip would dodge a proof."""
        if call.excinfo is None or not call.excinfo.errisinstance(NotConcernedError):
            report.outcome = "failed"
            report.longrepr = f"{case.name} was skipped: a case runs, or does not concern the driver"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties: list[tuple[str, Any]] = report.user_properties
        for name, record in properties:
            if name == "waybill" and (report.when == "call" or report.failed):
                self.results[record["case"]] = _result(report, record)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        told = getattr(node, "workeroutput", {})
        if "waybill_claims" in told:
            self.claims = Summary(**told["waybill_claims"])
        self.problems += [each for each in told.get("waybill_problems", ()) if each not in self.problems]
        self.whole = self.whole or told.get("waybill_whole", False)

    # -- after -----------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.suite is not None or self.lender is not None:
            try:
                if self.suite is not None:
                    self.suite.close()
                if self.lender is not None:
                    run(self.lender.close, seconds=OPENING * self.lender.patience, what="ending the broker")
            except Exception as error:
                self.problems.append(f"the harness could not be closed: {type(error).__name__}: {error}")
        if self.is_worker:
            self.config.workeroutput |= {"waybill_problems": self.problems, "waybill_whole": self.whole}  # type: ignore[attr-defined]
            return
        ledger = self.ledger()
        if self.claims is None or not self.results:
            self.problems.append("no case has run")
        refuted = self.problems or any(row.status == "REFUTED" for row in ledger)
        if refuted and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        path = self.config.getoption("waybill_report")
        if path:
            from .report import as_json

            data = as_json(self.claims or NOTHING, ledger, self.results, self.problems)
            Path(path).write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.claims is not None:
            from .report import as_text

            width, colour = terminalreporter._tw.fullwidth, terminalreporter._tw.hasmarkup  # noqa: SLF001
            terminalreporter.section("what this driver has proven")
            terminalreporter.write(as_text(self.claims, self.ledger(), self.results, width=width, colour=colour))
        for problem in self.problems:
            terminalreporter.write_line(f"PROBLEM: {problem}", red=True)

    def ledger(self) -> list[Row]:
        return [] if self.claims is None else rows(self.claims, self.results, whole=self.whole)


def _distributes(config: pytest.Config) -> bool:
    """Whether this process hands the cases to others and runs none itself."""
    return not hasattr(config, "workerinput") and getattr(config.option, "dist", "no") != "no"


def _record_of(case: Case) -> dict[str, Any]:
    return {"case": case.name, "claims": list(case.claims), "twin": case.twin, "levels": []}


def _recorded(report: pytest.TestReport) -> set[str]:
    properties: list[tuple[str, Any]] = report.user_properties
    return {record["case"] for name, record in properties if name == "waybill"}


def _result(report: pytest.TestReport, record: dict[str, Any]) -> Result:
    detail = str(record.get("reason", ""))
    outcome: Any = report.outcome
    if hasattr(report, "wasxfail"):
        outcome, detail = "gap", report.wasxfail
    elif report.skipped:
        outcome = "no power" if detail.startswith("no power") else "not concerned"
    elif report.failed:
        text = str(report.longrepr)
        outcome = "healed" if text.startswith("[XPASS(strict)]") else "failed"
        crash = getattr(report.longrepr, "reprcrash", None)
        detail = crash.message if crash is not None else text
    return Result(
        record["case"],
        tuple(record["claims"]),
        record["twin"],
        outcome,
        tuple(record["levels"]),
        detail,
        report.duration,
        record.get("stood_still"),
    )

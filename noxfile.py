"""Every chore of the project: `nox -l` lists them, `pip install nox` is all they need."""

import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv|virtualenv"  # uv where it is installed, plain pip elsewhere
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "unit"]

PYPROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = sorted(path.parent.as_posix() for path in Path("packages").glob("*/pyproject.toml"))
EXTRAS = {"packages/core": "[cli]", "packages/conformance": "[containers,sqs]"}
MAX_LINES = 300


@nox.session
def lint(session: nox.Session) -> None:
    """Style, spelling, layers, length of files and the names of the changelog fragments."""
    install(session, "lint")
    run_lint(session)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy --strict and pyright, over the packages and tests/typing."""
    install(session, "types")
    run_types(session)


@nox.session
def unit(session: nox.Session) -> None:
    """Run pytest alone: `nox -s unit -- tests/core -k retry`."""
    install(session, "test", "docs")
    session.run("pytest", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that must hold before a change lands. Pytest is last, so its summary is the last line."""
    install(session, "lint", "types", "test", "docs")
    run_lint(session)
    run_types(session)
    # Brokers are waited for more than anything is computed; tests/conftest.py keeps apart what would load the machine.
    busy = {"WAYBILL_CONFORMANCE_PATIENCE": "3"}
    # Hundreds of processes import the packages: compiled once, wherever the environment would have it done each time.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(session.cache_dir.absolute() / "bytecode")}
    session.run("pytest", "-n", "3", "--dist", "load", *session.posargs, env=busy | compiled)


@nox.session
def demo(session: nox.Session) -> None:
    """Watch real jobs run on SQLite, survive `kill -9` and end in a report."""
    install(session)
    session.run("python", "-m", "waybill", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against raw clients and peers: `nox -s bench -- --broker redis`."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def tables(session: nox.Session) -> None:
    """Prove the drivers anew, and renew what is made from that: the list of cases, the kept reports, the tables."""
    install(session, "test")
    session.run("python", "-m", "waybill_conformance.manifest")
    reports = {name: f"docs/reference/reports/{name}.json" for name in PYPROJECT["tool"]["proven"]}
    for name, how in PYPROJECT["tool"]["proven"].items():
        processes = ("-n", str(how["processes"])) if "processes" in how else ()
        # Cases end themselves in time; this repository's limit is for its own tests.
        suite = ("pytest", "--pyargs", "waybill_conformance", "-o", "timeout=0", "--driver", how["scheme"], *processes)
        session.run(*suite, "--report", reports[name])
        session.run("waybill-conformance", "keep", reports[name])
        readme = f"packages/driver-{name}/README.md"
        if Path(readme).exists():
            session.run("waybill-conformance", "table", reports[name], "--write", readme)
    session.run("waybill-conformance", "table", *reports.values(), "--write", "docs/reference/drivers.md")


@nox.session
def aws(session: nox.Session) -> None:
    """Hold the SQS driver to its claims on AWS itself: `nox -s aws -- sqs://eu-west-1`. It costs a few cents."""
    install(session, "test")
    url, *words = session.posargs or ["sqs://"]
    for harness in ("SqsHarness", "FifoHarness"):
        suite = ("pytest", "-o", "timeout=600", "--pyargs", "waybill_conformance", "--url", url)
        session.run(*suite, "--harness", f"waybill_sqs.harness:{harness}", *words)


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist and wheel of every package into dist/."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "build"))
    for package in PACKAGES:
        session.run("python", "-m", "build", "--outdir", "dist", package)


@nox.session
def dev(session: nox.Session) -> None:
    """Make an environment for an editor: every package editable, every tool."""
    install(session, "dev", "bench")
    session.log(f"source {session.bin}/activate")


def install(session: nox.Session, *groups: str) -> None:
    """Install every package editable, with what its tests need, and the dependency groups."""
    editable = [f"./{path}{EXTRAS.get(path, '')}" for path in PACKAGES]
    requirements = nox.project.dependency_groups(PYPROJECT, *groups) if groups else ()
    session.install(*(part for path in editable for part in ("-e", path)), *requirements)


def run_lint(session: nox.Session) -> None:
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell")
    session.run("lint-imports", "--no-cache")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)
    check_file_lengths(session)


def run_types(session: nox.Session) -> None:
    session.run("mypy")
    session.run("pyright")


def check_file_lengths(session: nox.Session) -> None:
    """A long file is either two ideas or has its reason in [tool.long-files]."""
    reasons = PYPROJECT["tool"]["long-files"]
    sources = [path for end in ("py", "sql", "lua") for path in Path("packages").glob(f"*/src/**/*.{end}")]
    long = {path.as_posix() for path in sources if path.read_text(encoding="utf-8").count("\n") > MAX_LINES}
    if unexplained := long - reasons.keys():
        session.error(f"Over {MAX_LINES} lines, without a reason in pyproject.toml: {sorted(unexplained)}")
    if stale := reasons.keys() - long:
        session.error(f"Listed in pyproject.toml as long, and no longer so: {sorted(stale)}")

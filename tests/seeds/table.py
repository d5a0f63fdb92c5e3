"""Write docs/reference/behaviours.md from behaviours.toml: `python tests/seeds/table.py`."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/behaviours.md"
COUNT = 122
CASES = "packages/conformance/src/waybill_conformance/cases"
# What a test runs on, by its folder.
BROKERS = {
    "case": "every one",
    "swap": "every one",
    "processes": "SQLite",
    "docs": "SQLite, Redis",
    "redis": "Redis",
    "sqs": "SQS",
    "aws_lambda": "memory, SQS",
    "conformance": "every one",
}

HEAD = """# The behaviours of the seed documents

Waybill began with five documents that show how background jobs should feel. This is every behaviour in them, and the
tests that prove it here. *On* says which brokers the tests run on: a case of the conformance suite runs on every broker
in the [table of drivers](drivers.md); what is decided before any broker is asked is tested on the memory driver.

This page is made by `python tests/seeds/table.py`; a test fails when a behaviour has no test, or names one that is gone.

| | behaviour | proven by | on |
|---|---|---|---|
"""


def read() -> tuple[dict[int, tuple[str, list[str]]], dict[int, str]]:
    """The behaviours with their tests, and those that wait, with the reason."""
    found = tomllib.loads((Path(__file__).parent / "behaviours.toml").read_text(encoding="utf-8"))
    behaviours = {int(number): (says, tests) for number, (says, *tests) in found["behaviours"].items()}
    return behaviours, {int(number): why for number, why in found["later"].items()}


def page() -> str:
    behaviours, later = read()
    lines = []
    for number in range(1, COUNT + 1):
        says, tests = behaviours.get(number, (later.get(number, ""), []))
        links = "<br>".join(told(each) for each in tests) or "later"
        on = ", ".join(dict.fromkeys(BROKERS.get(each.partition("/")[0].partition(":")[0], "memory") for each in tests))
        if number in behaviours and number in later:
            says = f"{says} ({later[number]})"
        lines.append(f"| {number} | {says} | {links} | {'every one' if 'every one' in on else on} |\n")
    return HEAD + "".join(lines)


def told(test: str) -> str:
    """The sentence and where it stands; no link, as a file may come with a later merge."""
    path, name = place_of(test)
    return f"{name.removeprefix('test_').replace('_', ' ')} (`{path.parent.name}/{path.stem}`)"


def place_of(test: str) -> tuple[Path, str]:
    """The file of a test, from the root, and its function."""
    file, _, name = test.partition("::")
    if file != "case":
        return Path("tests", file), name
    for path in sorted((ROOT / CASES).glob("test_*.py")):
        if name in functions_of(path):
            return path.relative_to(ROOT), name
    return Path(CASES, "nowhere.py"), name


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

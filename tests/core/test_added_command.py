"""Commands that an installed package adds to `waybill`."""

import os
import re
import subprocess
import sys

import pytest

TOY = '''"""Toys of a package.

More is not shown.
"""
from typing import Annotated
import typer

__all__ = ["say_hello", "url"]

def say_hello(name: Annotated[str, typer.Argument()], *, loud: bool = False) -> None:
    """Greet somebody."""
    print(f"HELLO {name}" if loud else f"hello {name}")

def url(settings) -> None:
    """Show the broker."""
    print(settings.url)
'''


@pytest.fixture
def waybill(tmp_path):
    """The command, where a distribution is installed whose module is this text."""

    def run(text, *arguments):
        (tmp_path / "toys.py").write_text(text)
        facts = tmp_path / "toys-1.dist-info"
        facts.mkdir(exist_ok=True)
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1\n")
        (facts / "entry_points.txt").write_text("[waybill.commands]\ntoys = toys\n")
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "waybill", *arguments],
            env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return run


def test_a_package_adds_a_group_of_commands(waybill):
    ran = waybill(TOY, "toys", "say-hello", "Ada", "--loud")
    assert (ran.stdout, ran.stderr, ran.returncode) == ("HELLO Ada\n", "", 0)


def test_an_added_command_is_given_the_options_of_every_command(waybill):
    assert waybill(TOY, "toys", "url", "--url", "memory://").stdout == "memory://\n"


def test_the_help_lists_what_was_added_by_the_first_line_of_its_module(waybill):
    shown = waybill(TOY, "--help").stdout
    assert re.search(r"\btoys +Toys of a package\.", shown)
    assert "More is not shown." not in shown
    group = waybill(TOY, "toys", "--help").stdout
    assert "say-hello" in group
    assert "Greet somebody." in group


def test_a_package_that_cannot_be_imported_spoils_no_other_command(waybill):
    broken = "raise RuntimeError('half installed')"
    assert waybill(broken, "--help").returncode == 0
    assert waybill(broken, "jobs", "--help").returncode == 0
    ran = waybill(broken, "toys")
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "half installed" in ran.stderr


def test_what_nobody_added_is_misuse(waybill):
    assert waybill(TOY, "games").returncode == 2

"""Mutants fail hundreds of assertions, and nobody reads how."""

import pytest


@pytest.fixture(autouse=True)
def no_long_diffs(monkeypatch):
    """On a CI machine pytest works out the whole difference of what was compared, which takes longer than the tests."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("BUILD_NUMBER", raising=False)

"""One crash test at a time: each has a crew of workers, and most have a server."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items):
    for each in items:
        if Path(__file__).parent in each.path.parents:
            each.add_marker(pytest.mark.xdist_group("crash"))

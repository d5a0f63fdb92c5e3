"""Every behaviour of the seed documents has a test that is there, and a row in the docs."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load():
    spec = importlib.util.spec_from_file_location("behaviours_table", ROOT / "tests/seeds/table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table = load()
BEHAVIOURS, LATER = table.read()


def test_there_are_122_and_one_waits_for_a_later_version():
    assert sorted({*BEHAVIOURS, *LATER}) == list(range(1, table.COUNT + 1))
    assert LATER.keys() - BEHAVIOURS.keys() == {80}


@pytest.mark.parametrize("number", sorted(BEHAVIOURS))
def test_a_behaviour_has_tests_that_are_there(number):
    says, tests = BEHAVIOURS[number]
    assert says
    assert tests, "a behaviour without a test"
    for each in tests:
        path, name = table.place_of(each)
        if path.parts[:2] == ("tests", "sqs") and not (ROOT / "tests/sqs").exists():
            continue  # they come with the folder, and are held to be there from then on
        assert (ROOT / path).exists(), f"{path} is gone"
        assert name in table.functions_of(ROOT / path), f"{path} has no {name}"


def test_the_page_is_what_the_list_says():
    assert table.PAGE.read_text(encoding="utf-8") == table.page(), "renew it: python tests/seeds/table.py"

"""A relative link in a document leads to a file, and to a heading in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATTERNS = ["*.md", "docs/**/*.md", "packages/*/*.md", "examples/*.md", "changelog.d/*.md"]
DOCUMENTS = sorted(page for pattern in PATTERNS for page in ROOT.glob(pattern))
FENCED = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(path):
    targets = LINK.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    relative = [target for target in targets if "://" not in target]
    assert [target for target in relative if not (path.parent / target.partition("#")[0]).exists()] == []
    assert [target for target in relative if not has_heading(path, *target.split("#"))] == []


def has_heading(path, target, heading=""):
    page = path.parent / target if target else path
    if not heading:
        return True
    titles = re.findall(r"^#+ (.*)", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}

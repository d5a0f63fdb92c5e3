"""A relative link in a document leads to a file."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATTERNS = ["*.md", "docs/**/*.md", "packages/*/*.md", "changelog.d/*.md"]
DOCUMENTS = sorted(page for pattern in PATTERNS for page in ROOT.glob(pattern))
FENCED = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(path):
    targets = LINK.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    relative = [target.partition("#")[0] for target in targets if "://" not in target and target[0] != "#"]
    broken = [target for target in relative if not (path.parent / target).exists()]
    assert not broken

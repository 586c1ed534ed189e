"""The fragments in docs/news are well-formed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NEWS = Path(__file__).resolve().parents[2] / "docs" / "news"
KINDS = set(
    re.findall(r"^\| `(\w+)` \|", (NEWS / "README.md").read_text(), re.MULTILINE)
)
FRAGMENTS = [path for path in sorted(NEWS.iterdir()) if path.name != "README.md"]


def test_the_kinds_are_those_that_are_collected():
    collected = re.search(r"for kind in ([a-z ]+);", (NEWS / "README.md").read_text())
    assert set(collected[1].split()) == KINDS


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_well_formed(path):
    what, kind, suffix = path.name.split(".")
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", what)
    assert kind in KINDS
    assert suffix == "md"
    text = path.read_text("utf-8")
    assert text.strip()
    assert text.endswith("\n")
    assert not text.lstrip().startswith("#")
    assert max(map(len, text.splitlines())) <= 100

"""Comparisons with flow libraries: with and without them."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys

import pytest

from fastflow.bench import flow_libraries
from fastflow.bench.rows import Settings, Skip

CORE = """
import logging, os
logging.basicConfig(level=logging.INFO)
assert os.path.isdir(os.environ["FLOW_DIR"]) and os.path.isdir(os.environ["LOG_DIR"])
REGISTRY = {}
def run_flow_from_dsl(text):
    found = {}
    for line in text.splitlines()[1:]:
        for name in line.split("->"):
            name = name.strip()
            if name not in found:
                found[name] = REGISTRY[name]["function"]()
    return found
"""


@pytest.mark.parametrize(
    ("compare", "package"),
    [
        (flow_libraries.taskinity_flow, "taskinity"),
        (flow_libraries.prefect_flow, "prefect"),
    ],
)
def test_a_library_that_is_not_installed(monkeypatch, compare, package):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    (row,) = compare(Settings(repeats=1))
    assert isinstance(row, Skip)
    assert f"pip install {package}" in row.why


def test_taskinity_leaves_nothing_behind(monkeypatch, tmp_path):
    package = tmp_path / "taskinity"
    (package / "core").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('never')")
    (package / "core" / "taskinity_core.py").write_text(CORE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "taskinity", raising=False)
    root = logging.getLogger()
    before = root.handlers[:], root.level, os.environ.copy()
    rows = list(flow_libraries.taskinity_flow(Settings(repeats=1)))
    assert (root.handlers, root.level, os.environ) == before
    assert [row.goal.bound for row in rows] == [1.0, 3.0]
    assert all(row.our_figure > 0 and row.peer_figure > 0 for row in rows)


def test_quiet(capfd):
    with flow_libraries._quiet():
        os.write(1, b"not seen")
        os.write(2, b"not seen")
    os.write(1, b"seen")
    assert capfd.readouterr() == ("seen", "")

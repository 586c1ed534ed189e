"""A flow of four tasks in a folder, and who calls ``fastflow`` there."""

from __future__ import annotations

import sys

from click.testing import CliRunner

from fastflow import default_registry
from fastflow.cli import main

FLOW = "flow Tiny:\n  load->[low,high]   # both\n  [low, high] -> span\n"
TASKS = """
import fastflow

@fastflow.task
def load(n):
    return list(range(n))

@fastflow.task
def low(xs):
    return min(xs)

@fastflow.task
def high(xs):
    return max(xs)

@fastflow.task
def span(low, high):
    return high - low

@fastflow.flow
def spread(n):
    return span(low(load(n)), high(load(n)))

TEXT = "flow Inner:\\n    load -> high"
OBJECT = fastflow.Flow("flow Made:\\n    load -> low")
NUMBER = 3
"""


def files(tmp_path, monkeypatch):
    """A flow and its tasks in the current directory; the registry is put back after."""
    (tmp_path / "tiny.flow").write_text(FLOW, "utf-8")
    (tmp_path / "tiny_tasks.py").write_text(TASKS, "utf-8")
    (tmp_path / "input.json").write_text("4", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_registry, "_found", {})
    monkeypatch.setattr(default_registry, "_names", set())
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("tiny_tasks", None)


def invoke(*arguments):
    return CliRunner().invoke(main, arguments)

"""Processes that are killed, race, or are stopped: ``kills.py`` and ``owners.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import figure

#: Kills, and a tenth as many stopped owners.
KILLS = figure(100, 500)
HERE = Path(__file__).resolve().parent
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.slow,
]


def run(script, *arguments):
    # In a process of its own: it forks, which this one's threads would not survive.
    outcome = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_kills():
    found = run("kills.py", "--kills", str(KILLS))
    assert found.pop("executions") > KILLS // 5
    total = found.pop("kills")
    assert total >= KILLS
    assert sum(found.values()) == total
    assert set(found) == {
        "before_commit", "after_commit", "effect", "migration", "random",
    }  # fmt: skip


def test_processes_race_for_one_execution():
    found = run("owners.py", "race", "--cycles", "30")
    assert found["done"] > 0
    assert found["busy"] > 0


def test_a_stale_owner_is_refused():
    assert run("owners.py", "stale", "--cycles", str(KILLS // 10)) == {
        "refused": KILLS // 10
    }

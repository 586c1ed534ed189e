"""A run equals its replay: what a program sees of errors is what the record gives.

The first pass is the measure. The others are made of replays: after each wait, after
crashes at random commits, and in another process than the one that began.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import error_programs
from error_programs import ERRORS, INNER, LEAVES, Crash, crasher, outcome, program
from fastflow.base.timers import VirtualClock
from fastflow.durable import DurableRunner, MemoryJournal, SqliteJournal, exceptions

SEEDS = range(80)


@cache
def first(seed):
    """Return what the first pass has seen."""
    with DurableRunner(":memory:", _clock=VirtualClock()) as runner:
        return outcome(runner, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_after_waits(seed):
    with DurableRunner(":memory:", _clock=VirtualClock()) as runner:
        assert outcome(runner, seed, "start") == first(seed)
        for way in ("run", "start"):  # once more: what was stored
            assert outcome(runner, seed, way) == first(seed)


@pytest.mark.parametrize("way", ["run", "start"])
@pytest.mark.parametrize("seed", SEEDS)
def test_after_crashes(seed, way, tmp_path):
    rng = random.Random(f"{seed} {way}")
    file = seed % 4 == 0
    journal = SqliteJournal(tmp_path / "runs.db") if file else MemoryJournal()
    for most in (3, 6, 12, 24, 48):
        probe = crasher(rng, most)
        with DurableRunner(journal, _clock=VirtualClock(), _probe=probe) as runner:
            try:
                found = outcome(runner, seed, way)
                break
            except (Crash, exceptions.JournalError):
                assert probe.left is None
    else:
        with DurableRunner(journal, _clock=VirtualClock()) as runner:
            found = outcome(runner, seed, way)
    assert found == first(seed)
    with DurableRunner(journal) as runner:
        assert outcome(runner, seed, way) == first(seed)
    journal.close()


def test_in_another_process(tmp_path):
    store = tmp_path / "runs.db"
    path = Path(error_programs.__file__)
    subprocess.run(
        [sys.executable, str(path), str(store), str(len(SEEDS))],
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    ended = Counter()
    with DurableRunner(store, _clock=VirtualClock()) as runner:
        for seed in SEEDS:
            ended[runner.journal.find(f"seed-{seed}").status] += 1
            assert outcome(runner, seed, ("start", "run")[seed % 2]) == first(seed)
    assert min(ended["RUNNING"], ended["FAILED"] + ended["SUCCEEDED"]) > 5, ended


def test_the_programs_have_everything():
    kinds, errors, outcomes = Counter(), set(), Counter()

    def count(body):
        for node in body:
            kinds[node.kind] += 1
            errors.add(node.error)
            count(node.body)

    for seed in SEEDS:
        count(program(random.Random(seed)))
        outcomes[first(seed)[0]] += 1
    assert set(kinds) == {*LEAVES, *INNER}
    assert errors == {None, *range(len(ERRORS))}
    assert min(outcomes.values()) > 10
    assert len(outcomes) == 2

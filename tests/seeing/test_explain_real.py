"""Explanations of real runs, in which one thing is wrong or nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
from pathlib import Path

import pytest

import fastflow
from fastflow.base.doctor import usable_cores

TRIES = 8


def pages(found):
    return [Path(cause.page).stem for cause in found.causes]


def explained(function, items, workers):
    with fastflow.Executor(max_workers=workers) as executor:
        with fastflow.record() as recording:
            list(executor.map(function, items))
    return recording.explain()


def busy_elsewhere():
    """Seconds that the cores were others', in this machine or beside it, so far."""
    try:
        first = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:  # this is no Linux
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = map(int, first.split()[1:9])
    whole = user + nice + system + irq + softirq + steal
    return whole / os.sysconf("SC_CLK_TCK") - time.process_time()


def undisturbed(*call):
    """Explain a run during which other programs did not have the cores for long.

    What a host takes for other machines is told by no thread: it looks like a wait.
    """
    for _ in range(TRIES):
        before = busy_elsewhere()
        found = explained(*call)
        others = max(busy_elsewhere() - before, found.account["waiting for a core"])
        if others < 0.2 * found.wall * found.workers:
            return found
    pytest.skip(f"other programs had the cores, {TRIES} times")


def pure(count):
    total = 0
    for n in range(count):
        total += n * n
    return total


@pytest.mark.skipif(usable_cores() < 2, reason="one core")
def test_pure_python_on_two_threads():
    found = undisturbed(pure, [20_000] * 300, 2)
    if found.account["waiting for the interpreter lock"]:
        assert pages(found)[0] == "interpreter-lock"
        assert 'executor="processes"' in found.text()
    else:
        import sys

        assert not getattr(sys, "_is_gil_enabled", lambda: True)()


def test_sleep_on_two_workers():
    found = explained(time.sleep, [0.03] * 30, 2)
    assert pages(found)[0] == "waits"
    assert found.tasks == 30
    assert found.workers == 2


def test_one_sleep_that_is_longer():
    found = explained(time.sleep, [0.01] * 20 + [0.3], 2)
    assert pages(found)[0] == "stragglers"


@pytest.mark.skipif(usable_cores() < 2, reason="one core")
def test_hashing_on_as_many_workers_as_cores_has_nothing_to_gain():
    blocks = [bytes(500_000)] * 400
    found = undisturbed(hashlib.sha256, blocks, usable_cores())
    assert pages(found) == []
    if found.account["waiting for a core"] < 0.05 * found.wall:
        assert "Nothing to gain" in found.text()


def test_a_recording_is_written_for_other_tools(tmp_path):
    with fastflow.record() as recording:
        fastflow.map(pure, [100] * 50)
    path = tmp_path / "run.json.gz"
    recording.trace(path)
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    calls = [x for x in events if x["ph"] == "X" and x["cat"] == "call.done"]
    assert {call["name"] for call in calls} == {"pure"}
    assert len(calls) == 50

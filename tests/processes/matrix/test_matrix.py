"""`ProcessExecutor` in all scenarios."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys

import pytest

from processes.matrix import scenario
from processes.matrix.running import OURS, can_mount, run

if sys.platform != "linux":
    pytest.skip("the runs are looked after by /proc", allow_module_level=True)


def parameters():
    for found in scenario.SCENARIOS:
        marks = []
        if found.slow:
            marks.append(pytest.mark.slow)
        if found.shm:
            marks.append(pytest.mark.skipif(not can_mount(), reason="needs mounts"))
        if found.needs:
            missing = importlib.util.find_spec(found.needs) is None
            marks.append(pytest.mark.skipif(missing, reason=f"needs {found.needs}"))
        if found.root:
            able = os.geteuid() == 0 and shutil.which("setpriv")
            marks.append(pytest.mark.skipif(not able, reason="needs root"))
        yield pytest.param(found, id=f"{found.group}: {found.name}", marks=marks)


@pytest.mark.parametrize("found", list(parameters()))
def test_it_ends_as_it_has_to(found):
    verdict = run(found, OURS)
    assert not verdict.why, f"{verdict.why}\n{verdict.stderr}"


def test_there_are_enough():
    assert len(scenario.SCENARIOS) >= 40

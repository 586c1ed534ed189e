"""Signal handlers that raise at random moments: nothing is lost or mixed up."""

from __future__ import annotations

import sys

import pytest

from processes.matrix.running import OURS, run
from processes.matrix.scenario import HEAD, TAIL, Scenario
from support import figure

if sys.platform != "linux":
    pytest.skip("the runs are looked after by /proc", allow_module_level=True)

ERRORS = ("Alarm", "KeyboardInterrupt", "TimeoutError")
PROGRAM = """
from alarms import *

def main():
    disturb({seed}, {rounds}, {error}{options})
"""
OPTIONS = (
    "",
    ", max_tasks_per_child=50",
    ", start_method='fork'",
    ", max_pending=100",
    ", on_worker_death='retry', share_arrays=None",
)


@pytest.mark.parametrize("seed", range(figure(3, 30)))
def test_handlers_that_raise_at_random(seed):
    error, options = ERRORS[seed % len(ERRORS)], OPTIONS[seed % len(OPTIONS)]
    text = PROGRAM.format(seed=seed, rounds=1500, error=error, options=options)
    program = Scenario(str(seed), "signals", HEAD + text + TAIL, ("well", "over"))
    verdict = run(program, OURS)
    assert not verdict.why, f"seed {seed}: {verdict.why}\n{verdict.stderr}"

"""The demo's durable run: a process that is killed, and one that goes on.

As a program, ``python -m fastflow.cli.demo_durable FILE STEPS`` is the process that
dies: it prints a line per step and never ends by itself.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fastflow.durable import (
    DurableContext,
    DurableRunner,
    StepContext,
    durable_execution,
)

__all__ = ["Survival", "survive"]

_NAME = "demo"
_ran: list[int] = []  # steps, in this process
_victim = False


class Survival(NamedTuple):
    """What became of a run that was killed."""

    steps: int
    killed_after: int
    """Steps that the killed process had run, at least."""
    ran: int
    """Steps that the second process ran."""
    twice: int
    """Of these, how many had said before that they ran: the one that was not
    committed yet."""
    right: bool
    """Whether the result is the one without a crash."""


def _step(number: int, _: StepContext) -> int:
    if _victim:
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
    _ran.append(number)
    return number


@durable_execution(name="fastflow.demo")
def _total(event: Any, context: DurableContext) -> int:
    total = 0
    for number in range(event):
        total += context.step(partial(_step, number))
    while _victim:  # there is nothing left to do but die
        time.sleep(3600)  # no operation: the journal would have one too many
    return total


def survive(steps: int) -> Survival:
    """Kill a process in the middle of a durable run, and go on with it in this one."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "runs.db"
        begun = _run_and_kill(store, steps)
        _ran.clear()
        with DurableRunner(store) as runner:
            result = runner.run(_total, steps, _NAME)
    return Survival(
        steps,
        len(begun),
        len(_ran),
        len(begun.intersection(_ran)),
        result == sum(range(steps)),
    )


def _run_and_kill(store: Path, steps: int) -> set[int]:
    """Return the steps that a process had run when it was killed halfway."""
    command = [
        sys.executable,
        "-m",
        "fastflow.cli.demo_durable",
        str(store),
        str(steps),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begun = set()
        for line in process.stdout:
            begun.add(int(line))
            if len(begun) == (steps + 1) // 2:
                process.kill()
        # What it had printed before the signal came is among the lines.
    return begun


if __name__ == "__main__":
    _victim = True
    with DurableRunner(sys.argv[1]) as _runner:
        _runner.run(_total, int(sys.argv[2]), _NAME)

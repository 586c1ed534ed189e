"""The child of the fault and power-cut tests: runs a function, tells how it went.

Its arguments: folder, number of steps, durability.  What it prints is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from fastflow.durable import DurableRunner, JournalError, durable_execution

folder, steps, durability = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
switch = Path(os.environ.get("FAULT_SWITCH", folder / "no-switch"))
log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


@durable_execution(name="faulty")
def program(event, context):
    for number in range(steps):
        context.step(lambda _, n=number: "x" * (37 * n % 700), name=f"s{number}")
        os.write(log, b"%d\n" % number)
    return steps


def attempt(runner):
    try:
        return runner.run(program, None, "it")
    except JournalError as error:
        return type(error).__name__


def main():
    outcomes = []
    control = durability == "off"
    try:
        runner = DurableRunner(
            folder / "runs.db", durability="full" if control else durability
        )
    except JournalError as error:
        outcomes.append(type(error).__name__)
        switch.unlink(missing_ok=True)
        runner = DurableRunner(folder / "runs.db")
    db = runner.journal._db
    runner.journal._every = 6
    if control:
        db.execute("PRAGMA synchronous = OFF")
    outcomes.append(attempt(runner))
    if outcomes[-1] != steps:
        # As long as the fault lasts, nothing is acknowledged, and nothing hangs.
        outcomes.append(attempt(runner))
        switch.unlink(missing_ok=True)
        outcomes.append(attempt(runner))
    try:
        runner.close()
    except JournalError as error:
        outcomes.append(type(error).__name__)
    if steps not in outcomes:
        with DurableRunner(folder / "runs.db") as anew:
            outcomes.append(attempt(anew))
    print(json.dumps(outcomes))


main()

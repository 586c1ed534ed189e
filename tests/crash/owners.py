"""Several processes and one execution: races, and owners that come back from the dead.

``python tests/crash/owners.py race|stale --cycles N``
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from program import EXPECTED, Auditor, Log, Violation, make

import fastflow
from fastflow.durable import DurableRunner, ExecutionInProgress, durable_execution
from fastflow.durable.exceptions import LeaseLostError

DONE, BUSY, WRONG, LOST = 0, 3, 4, 5
LEASE = 0.15  # seconds


def fork(run) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os._exit(run())
    except BaseException:
        traceback.print_exc()
        os._exit(WRONG)


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def contend(folder: Path, start: int) -> int:
    """Run the execution, or find it run or running."""
    program = make(Log(folder / "log"))
    os.read(start, 1)  # ends for all at once, when the writer's end is closed
    with (
        fastflow.Executor(2) as executor,
        DurableRunner(folder / "runs.db", executor=executor) as runner,
    ):
        try:
            found = runner.run(program, None, "it")
        except ExecutionInProgress:
            return BUSY
    return DONE if found == EXPECTED else WRONG


def race(cycles: int, rng: random.Random) -> dict[str, int]:
    """Let processes begin at the same moment, some of them killed."""
    counts: Counter[int] = Counter()
    for _ in range(cycles):
        folder = Path(tempfile.mkdtemp(prefix="fastflow-race-"))
        auditor = Auditor(folder / "log", folder / "runs.db")
        start, go = os.pipe()

        def child(folder=folder, start=start, go=go):
            os.close(go)
            return contend(folder, start)

        pids = [fork(child) for _ in range(rng.randint(2, 4))]
        os.close(go)
        os.close(start)
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0, 0.03))
            os.kill(rng.choice(pids), signal.SIGKILL)
        codes = [code_of(pid) for pid in pids]
        counts.update(codes)
        auditor.look()
        if not set(codes) <= {DONE, BUSY, -signal.SIGKILL}:
            raise Violation(f"children ended with {codes}, see {folder}")
        start, go = os.pipe()
        os.close(go)
        if code_of(fork(lambda f=folder, s=start: contend(f, s))) != DONE:
            raise Violation(f"the last one could not finish, see {folder}")
        os.close(start)
        auditor.look()
        shutil.rmtree(folder)
    return {"done": counts[DONE], "busy": counts[BUSY], "killed": counts[-9]}


def slow_program(log: Log, began: Callable[[], object] = lambda: None):
    """Return a function of many steps, each telling who made it."""

    @durable_execution(name="slow-program")
    def slow(event, context):
        began()
        for number in range(event):
            context.step(
                lambda _, n=number: log.write("run", f"s{n}", 1), name=f"s{number}"
            )
            log.write("ack", f"s{number}")
        return event

    return slow


def own(folder: Path, steps: int, ready: int) -> int:
    """Run it with a short lease; tell when it has begun."""
    # Told from within: who is stopped before it owns the execution is no owner.
    slow = slow_program(Log(folder / "first"), lambda: os.write(ready, b"!"))
    with DurableRunner(folder / "runs.db", lease=LEASE) as runner:
        try:
            runner.run(slow, steps, "it")
        except LeaseLostError:
            return LOST
    return DONE


def take_over(folder: Path, steps: int) -> int:
    slow = slow_program(Log(folder / "log"))
    with DurableRunner(folder / "runs.db", lease=LEASE) as runner:
        while True:
            try:
                runner.run(slow, steps, "it")
                return DONE
            except ExecutionInProgress:
                time.sleep(LEASE / 10)


def stop(pid: int, path: Path) -> None:
    """Stop a process, but not within a transaction, which would stop everybody."""
    db = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        while True:
            os.kill(pid, signal.SIGSTOP)
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
                return
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.0005)
    finally:
        db.close()


def stale(cycles: int, rng: random.Random) -> dict[str, int]:
    """Stop an owner for twice its lease; another takes over; the first one goes on."""
    counts: Counter[int] = Counter()
    steps = 1_000_000  # more than it gets done before it is stopped
    for _ in range(cycles):
        folder = Path(tempfile.mkdtemp(prefix="fastflow-stale-"))
        auditor = Auditor(folder / "log", folder / "runs.db")
        began, ready = os.pipe()
        first = fork(lambda f=folder, r=ready: own(f, steps, r))
        os.close(ready)
        os.read(began, 1)
        os.close(began)
        time.sleep(rng.uniform(0.01, 0.05))
        stop(first, folder / "runs.db")
        auditor.look()
        time.sleep(2 * LEASE)
        # The second one takes it over, makes some steps, and is killed.
        second = fork(lambda f=folder: take_over(f, steps))
        log = folder / "log"
        while not log.exists() or not log.stat().st_size:
            if os.waitpid(second, os.WNOHANG)[0]:
                raise Violation(f"nobody could take it over, see {folder}")
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        before = (folder / "first").read_text().count("run")
        os.kill(first, signal.SIGCONT)
        counts[code_of(first)] += 1
        more = (folder / "first").read_text().count("run") - before
        if more > 1:  # the step that it was about to make
            raise Violation(f"{more} steps were made by who had lost the lease")
        os.kill(second, signal.SIGKILL)
        code_of(second)
        auditor.look()
        shutil.rmtree(folder)
    if counts != {LOST: cycles}:
        raise Violation(f"stale owners ended with {dict(counts)}")
    return {"refused": counts[LOST]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["race", "stale"])
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    run = race if options.what == "race" else stale
    print(json.dumps(run(options.cycles, random.Random(options.seed))))


if __name__ == "__main__":
    main()

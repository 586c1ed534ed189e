"""Kill a process that runs a durable function, again and again, and audit what is left.

By hand: ``python tests/crash/kills.py --kills 5000``.  The children are forked, so a
kill costs milliseconds.  Kinds of death: at the n-th commit (before or after), inside
of a step after its effect, at a random moment, and while the tables are made.
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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from program import EXPECTED, Auditor, Log, Violation, make

import fastflow
from fastflow.durable import DurableRunner
from fastflow.journal import sqlite_schema

POINTS = ("before_commit", "after_commit", "effect", "migration", "random")
MOST_KILLS = 12  # of one execution


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_child(folder: Path, point: str, number: int) -> None:
    """Run the function; die at the given point, if it comes."""
    left = number

    def reach(here: str) -> None:
        nonlocal left
        if here == point:
            left -= 1
            if left < 0:
                die()

    if point == "migration":
        make_tables = sqlite_schema.MIGRATIONS[0]

        def migrate(db):
            make_tables(db)
            reach("migration")

        sqlite_schema.MIGRATIONS[0] = migrate
    log = Log(folder / "log")
    program = make(log, lambda: reach("effect"))
    with (
        fastflow.Executor(2) as executor,
        DurableRunner(
            folder / "runs.db",
            executor=executor,
            _probe=lambda moment, records: reach(moment),
        ) as runner,
    ):
        found = runner.run(program, {"n": 1}, "it")
    if found != EXPECTED:
        raise Violation(f"wrong result: {found}")


def fork_child(folder: Path, point: str, number: int, rng: random.Random) -> int:
    """Run a child to its end or death; return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            run_child(folder, point, number)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if point == "random":
        time.sleep(rng.uniform(0.0, 0.06))
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check_file(path: Path) -> None:
    if not path.exists():
        return
    db = sqlite3.connect(path)
    try:
        verdict = db.execute("PRAGMA integrity_check").fetchall()
    finally:
        db.close()
    if verdict != [("ok",)]:
        raise Violation(f"integrity check: {verdict[:3]}")


def one_execution(
    folder: Path, rng: random.Random, sweep: int, kills: Counter[str]
) -> None:
    """Kill one execution a few times, then let it end, and audit throughout."""
    auditor = Auditor(folder / "log", folder / "runs.db")
    for attempt in range(MOST_KILLS):
        # Every boundary in turn first, then anything.
        point = POINTS[sweep % 4] if attempt == 0 else rng.choice(POINTS)
        number = sweep // 4 % 60 if attempt == 0 else rng.randrange(12)
        if point == "migration":
            number = 0
        code = fork_child(folder, point, number, rng)
        check_file(folder / "runs.db")
        auditor.look()
        if code == 0:
            return
        if code != -signal.SIGKILL:
            raise Violation(f"a child ended with {code}")
        kills[point] += 1
    code = fork_child(folder, "none", 0, rng)
    auditor.look()
    if code != 0:
        raise Violation(f"the last child ended with {code}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kills: Counter[str] = Counter()
    executions = 0
    print(f"seed {options.seed}", file=sys.stderr)
    while kills.total() < options.kills:
        folder = Path(tempfile.mkdtemp(prefix="fastflow-kills-"))
        try:
            one_execution(folder, rng, executions, kills)
        except BaseException:
            print(f"seed {options.seed}, see {folder}", file=sys.stderr)
            raise
        shutil.rmtree(folder)
        executions += 1
    print(json.dumps({"kills": kills.total(), "executions": executions, **kills}))


if __name__ == "__main__":
    main()

"""Instructions and locked instructions for each task, counted by callgrind.

python benchmarks/scaling/instructions.py [--driver build/.../benchmarks/cpp/scaling]

Each road runs twice, with N and with 2 N tasks and one worker; the difference over N is
what a task costs, whatever the start and the end of the program take. callgrind tells
how often each instruction ran; objdump tells which of them lock a cache line: those
with a ``lock`` prefix, and ``xchg`` with memory.
"""

from __future__ import annotations

import argparse
import bisect
import functools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

NATIVE_ROADS = ("stack", "queue", "range", "wavefront")
PYTHON_ROADS = (
    "bare",
    "submit",
    "submit_inside",
    "kernels",
    "map",
    "for_each",
    "imap",
    "graph",
)
# Waiting for the end, by looking now and then; and building plans.
BESIDE = re.compile(r"wait_for|Pool::counts|nanosleep|sleep_for|GraphPlan")
LOCKED = re.compile(r"^\s*([0-9a-f]+):\s+(?:lock\b|xchg\s.*\()")
EXTENSION = re.compile(r"_core\.[^/]*so$")


class Count(NamedTuple):
    """Executed instructions: all of them, those of the core, and the locked ones."""

    all: float
    core: float
    locked: float
    locked_core: float

    def per_task(self, once: Count, tasks: int) -> Count:
        """What each of so many more tasks has added to ``once``."""
        return Count(*((a - b) / tasks for a, b in zip(self, once, strict=True)))


@functools.cache
def locked_instructions(binary: str) -> list[int]:
    """Addresses, in order, of the instructions that lock a cache line."""
    if not Path(binary).is_file():
        return []
    listing = subprocess.run(
        ["objdump", "--disassemble", "--no-show-raw-insn", "--wide", binary],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return sorted(
        int(match[1], 16) for match in map(LOCKED.match, listing.splitlines()) if match
    )


def is_locked(binary: str, address: int) -> bool:
    """Whether the instruction there locks a line."""
    known = locked_instructions(binary)
    at = bisect.bisect_left(known, address)
    return at < len(known) and known[at] == address


def executed(profile: str) -> Iterator[tuple[str, str, int, int]]:
    """(binary, function, address, times) of each instruction in a callgrind profile."""
    binary = function = ""
    skip = False
    for row in profile.splitlines():
        if row.startswith("ob="):
            binary = row[3:]
        elif row.startswith("fn="):
            function = row[3:]
        elif row.startswith("calls="):
            skip = True  # the next row has what the callee took
        elif row.startswith("0x"):
            if not skip:
                address, _, times = row.split()[:3]
                yield binary, function, int(address, 16), int(times)
            skip = False


def count(command: list[str]) -> Count:
    """Runs the command under callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "profile"
        tool = ["valgrind", "--tool=callgrind", "--dump-instr=yes"]
        plain = ["--compress-pos=no", "--compress-strings=no"]
        subprocess.run(
            [*tool, *plain, f"--callgrind-out-file={out}", *command],
            check=True,
            capture_output=True,
        )
        total = [0, 0, 0, 0]
        for binary, function, address, times in executed(out.read_text()):
            if BESIDE.search(function):
                continue
            core = EXTENSION.search(binary) is not None or "fastflow::" in function
            locked = is_locked(binary, address)
            total[0] += times
            total[1] += times * core
            total[2] += times * locked
            total[3] += times * (locked and core)
        return Count(*total)


def road_command(driver: Path, road: str, tasks: int) -> list[str]:
    """What runs that many no-op tasks on a road."""
    if road in NATIVE_ROADS:
        return [str(driver), road, str(tasks), "0", "1", "1"]
    return [sys.executable, str(Path(__file__).with_name("roads.py")), road, str(tasks)]


def main() -> None:
    """Prints a table of the roads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--driver", type=Path, default=Path("build/dev/benchmarks/cpp/scaling")
    )
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("roads", nargs="*", default=[*NATIVE_ROADS, *PYTHON_ROADS])
    options = parser.parse_args()
    print(
        "| road | instructions | of them in the core | locked | of them in the core |"
    )
    print("|---|---|---|---|---|")
    for road in options.roads:
        n = options.tasks
        once, twice = (count(road_command(options.driver, road, k * n)) for k in (1, 2))
        cost = twice.per_task(once, n)
        print(
            f"| {road} | {cost.all:.0f} | {cost.core:.0f} "
            f"| {cost.locked:.2f} | {cost.locked_core:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

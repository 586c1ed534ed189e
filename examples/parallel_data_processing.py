"""Parse, clean and aggregate sensor readings: one after another, and in parallel.

    python examples/parallel_data_processing.py                  # 10,000 and 100,000
    python examples/parallel_data_processing.py 10000 100000 1000000
    python examples/parallel_data_processing.py --workers 4

The records are JSON lines with dirty fields, made on the spot and the same in every
run. The work is done twice over: from the text in pure Python, and from columns in
numpy. Every way must give the same result as the sequential one, or the program fails.

What to expect: threads speed up the numpy part, because numpy releases the interpreter
lock. They can't speed up pure Python while that lock is on; processes can, and pay for
it by copying every block to another process. On a free-threaded build of Python threads
speed up both. The last column says how much faster the machine is at all with so many
workers, measured in the same rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from rich.console import Console
from rich.table import Table

import fastflow
from fastflow.base.doctor import usable_cores
from fastflow.bench import capacity
from fastflow.bench.measure import Times, contest
from fastflow.bench.records import climate, generate, merge, summarise, to_columns
from fastflow.cli.demo_blocks import process_pool

#: (records, part, sequential seconds, how, parallel seconds, speed-up, machine's)
Line = tuple[int, str, float, str, float, float, float]
Ways = dict[str, Callable[[], object]]


def python_part(
    blocks: list[bytes],
    threads: fastflow.Executor,
    processes: fastflow.ProcessExecutor,
    peer: ProcessPoolExecutor,
) -> Ways:
    """From the text: json, dictionaries and integers."""
    return {
        "sequential": lambda: merge(map(summarise, blocks)),
        "fastflow threads": lambda: merge(
            fastflow.map(summarise, blocks, executor=threads)
        ),
        "fastflow processes": lambda: merge(
            fastflow.map(summarise, blocks, executor=processes)
        ),
        "ProcessPoolExecutor": lambda: merge(peer.map(summarise, blocks)),
    }


def numpy_part(blocks: list[bytes], threads: fastflow.Executor) -> Ways:
    """From columns: one call of numpy after another, each over a whole block."""
    columns = to_columns(blocks)
    return {
        "sequential": lambda: list(map(climate, columns)),
        "fastflow threads": lambda: fastflow.map(climate, columns, executor=threads),
    }


def process(size: int, workers: int, repeats: int) -> list[Line]:
    """Measure both parts over ``size`` records."""
    blocks = generate(size, chunk=max(500, min(5_000, size // (4 * workers))))
    with (
        fastflow.Executor(workers) as threads,
        fastflow.ProcessExecutor(workers) as processes,
        process_pool(workers) as peer,
        ThreadPoolExecutor(workers) as bare,
    ):
        beside = capacity.contestants(bare, workers)
        parts = {
            "pure Python": python_part(blocks, threads, processes, peer),
            "numpy": numpy_part(blocks, threads),
        }
        timed = {
            part: contest(ways, repeats, beside=beside) for part, ways in parts.items()
        }
    return [
        line(size, part, how, times)
        for part, times in timed.items()
        for how in parts[part]
        if how != "sequential"
    ]


def line(size: int, part: str, how: str, times: Times) -> Line:
    """Return a line of the table."""
    return (
        size,
        part,
        times.median("sequential"),
        how,
        times.median(how),
        times.ratio("sequential", how).median,
        times.ratio(capacity.SEQUENTIAL, capacity.PARALLEL).median,
    )


def show(lines: list[Line], workers: int) -> None:
    """Print the table."""
    table = Table(title=f"Sequential and parallel processing, {workers} workers")
    table.add_column("dataset size", justify="right")
    table.add_column("part")
    table.add_column("sequential", justify="right")
    table.add_column("in parallel with")
    table.add_column("parallel", justify="right")
    table.add_column("speed-up", justify="right")
    table.add_column("the machine's", justify="right")
    for size, part, sequential, how, parallel, speedup, possible in lines:
        table.add_row(
            f"{size:,} records",
            part,
            f"{sequential * 1e3:,.1f} ms",
            how,
            f"{parallel * 1e3:,.1f} ms",
            f"{speedup:.2f} ×",
            f"{possible:.2f} ×",
        )
    console = Console() if sys.stdout.isatty() else Console(width=110)
    console.print(table)
    console.print("Every way gave the same result.", highlight=False)


def measure(sizes: list[int], workers: int, repeats: int) -> None:
    """Measure all sizes and print a table."""
    lines = []
    for size in sizes:
        lines += process(size, workers, repeats)
    show(lines, workers)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sizes", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--report", metavar="FILE", help="write what was seen of it")
    options = parser.parse_args()
    if min(options.sizes, default=1) < 1 or options.workers < 1 or options.repeats < 1:
        parser.error("sizes, --workers and --repeats must be at least 1")
    recording = fastflow.record() if options.report else None
    with recording or contextlib.nullcontext():
        measure(options.sizes, options.workers, options.repeats)
    if recording:
        recording.report(options.report)


if __name__ == "__main__":
    main()

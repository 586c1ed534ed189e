"""``fastflow demo``: a fan-out and a data job against ``concurrent.futures``.

And a durable run that is killed and resumed.
"""

from __future__ import annotations

import builtins
import importlib.util
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.table import Table

from fastflow.base.doctor import usable_cores
from fastflow.bench import report
from fastflow.bench import subject as ff
from fastflow.bench.measure import Times, contest
from fastflow.bench.records import climate, generate, merge, summarise, to_columns
from fastflow.bench.workloads import noop
from fastflow.cli.demo_durable import survive
from fastflow.processes.executor import ProcessExecutor

#: (what was run, how, seconds, speed-up over the first line of its kind)
Line = tuple[str, str, float, float]


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Start a pool of processes whose workers are up before the clock runs.

    Never by plain ``fork``, which is unsafe while other threads run.
    """
    methods = multiprocessing.get_all_start_methods()
    method = "forkserver" if "forkserver" in methods else "spawn"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method))
    list(pool.map(summarise, generate(64 * workers, chunk=64)))
    return pool


def lines_of(title: str, times: Times, baseline: str) -> Iterator[Line]:
    """One line per contestant, with its speed-up over ``baseline``."""
    for name in times.seconds:
        speedup = times.ratio(baseline, name).median
        yield title, name, times.median(name), speedup


def submit_all(executor: Executor, items: Sequence[int]) -> list[None]:
    """Submit one no-op per item, then take every result."""
    futures = [executor.submit(noop, item) for item in items]
    return [future.result() for future in futures]


def fan_out(tasks: int, workers: int) -> Iterator[Line]:
    """Many tasks that do nothing: the cost of a task itself."""
    items = range(tasks)
    with ff.Executor(workers) as ours, ThreadPoolExecutor(workers) as theirs:
        times = contest(
            {
                "ThreadPoolExecutor, submit": lambda: submit_all(theirs, items),
                "ThreadPoolExecutor, map": lambda: list(theirs.map(noop, items)),
                "fastflow, submit": lambda: submit_all(ours, items),
                "fastflow, map": lambda: ff.map(noop, items, executor=ours),
                "no threads: list(map)": lambda: list(builtins.map(noop, items)),
            },
            repeats=1,
        )
    title = f"fan-out of {tasks:,} no-ops"
    yield from lines_of(title, times, "ThreadPoolExecutor, submit")


def data_job(records: int, workers: int, repeats: int = 3) -> Iterator[Line]:
    """Parse, clean and aggregate sensor readings, each way checked for its result."""
    blocks = generate(records)
    columns = to_columns(blocks)
    with (
        ff.Executor(workers) as ours,
        ThreadPoolExecutor(workers) as theirs,
        process_pool(workers) as processes,
        ProcessExecutor(workers) as our_processes,
    ):
        contestants: dict[str, Callable[[], Any]] = {
            "sequential": lambda: merge(builtins.map(summarise, blocks)),
            "ThreadPoolExecutor": lambda: merge(theirs.map(summarise, blocks)),
            "fastflow, threads": lambda: merge(
                ff.map(summarise, blocks, executor=ours)
            ),
            "fastflow, processes": lambda: merge(
                ff.map(summarise, blocks, executor=our_processes)
            ),
            "ProcessPoolExecutor": lambda: merge(processes.map(summarise, blocks)),
        }
        if importlib.util.find_spec("joblib"):
            contestants["joblib"] = lambda: merge(_by_joblib(blocks, workers))
        text = contest(contestants, repeats)
        arrays = contest(
            {
                "sequential": lambda: list(builtins.map(climate, columns)),
                "ThreadPoolExecutor": lambda: list(theirs.map(climate, columns)),
                "fastflow": lambda: ff.map(climate, columns, executor=ours),
            },
            max(repeats, 5),
        )
    yield from lines_of(f"{records:,} records, pure Python", text, "sequential")
    yield from lines_of(f"{records:,} records, numpy", arrays, "sequential")


def _by_joblib(blocks: Any, workers: int) -> Any:
    import joblib

    return joblib.Parallel(workers)(map(joblib.delayed(summarise), blocks))


def table_of(lines: Sequence[Line]) -> Table:
    """Make the table that ends the demo."""
    table = Table(title="fastflow and concurrent.futures, taking turns in one run")
    table.add_column("work")
    table.add_column("how")
    table.add_column("time", justify="right")
    table.add_column("speed-up", justify="right")
    last = ""
    for work, how, seconds, speedup in lines:
        if last and work != last:
            table.add_section()
        style = "bold" if how.startswith("fastflow") else None
        shown = "" if work == last else work
        table.add_row(
            shown, how, f"{seconds * 1e3:,.1f} ms", f"{speedup:.2f} ×", style=style
        )
        last = work
    return table


def run(
    tasks: int = 100_000,
    records: int = 100_000,
    workers: int | None = None,
    steps: int = 1_000,
    console: Console | None = None,
) -> None:
    """Run the demo and print its table.

    Parameters
    ----------
    tasks : int
        Tasks of the fan-out.
    records : int
        Records of the data job.
    workers : int, optional
        Threads and processes; default: the usable cores.
    steps : int
        Of the durable run.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or report.console()
    workers = workers or usable_cores()
    console.print(f"{workers} workers; {tasks:,} tasks, then {records:,} records ...")
    lines = [*fan_out(tasks, workers), *data_job(records, workers)]
    console.print(table_of(lines))
    console.print(
        "Results of all ways are equal. Threads can't speed up pure Python while the "
        "interpreter lock is on: there, processes are the right tool.",
        highlight=False,
    )
    console.print(_told(steps), highlight=False)


def _told(steps: int) -> str:
    """Kill and resume a durable run, and say how that went."""
    found = survive(steps)
    again = "none of them for the second time"
    if found.twice:
        again = f"{found.twice} of them for the second time: it was not committed yet"
    return (
        f"Durable run of {found.steps:,} steps: its process was killed after "
        f"{found.killed_after:,}; another one ran {found.ran:,}, {again}; the "
        f"result is {'right' if found.right else 'WRONG'}."
    )

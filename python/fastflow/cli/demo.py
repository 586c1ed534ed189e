"""``fastflow demo``: which tool is for which work, measured on this machine.

Kinds of work against ``concurrent.futures``, a durable run that is killed and resumed,
and a report of what a few runs looked like.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fastflow.base.doctor import usable_cores
from fastflow.bench import arrays, report
from fastflow.bench import subject as ff
from fastflow.bench.graph_python import add_all, cosines, predecessors_of
from fastflow.bench.records import generate, summarise
from fastflow.cli.demo_blocks import (
    Block,
    compression,
    dag,
    records_job,
    small_calls,
    waits,
)
from fastflow.cli.demo_durable import survive
from fastflow.processes.executor import ProcessExecutor
from fastflow.seeing.recording import record

_WORTH = 1.15  # times as fast; less isn't worth to be spoken of


def table_of(blocks: Sequence[Block]) -> Table:
    """Make the table of all ways."""
    table = Table(title="fastflow and others, taking turns in one run")
    table.add_column("work")
    table.add_column("how")
    table.add_column("time", justify="right")
    table.add_column("speed-up", justify="right")
    for block in blocks:
        shown = block.title
        for name in block.times.seconds:
            table.add_row(
                shown,
                name,
                f"{block.times.median(name) * 1e3:,.1f} ms",
                f"{block.speedup(name):.2f} ×",
                style="bold" if name.startswith("fastflow") else None,
            )
            shown = ""
        table.add_section()
    return table


def advice(blocks: Sequence[Block], workers: int) -> str:
    """Say in a line what this machine should use for what, by what was measured."""
    lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    python += "" if lock else " without the interpreter lock"
    words = [_word(block) for block in blocks]
    return f"This machine ({workers} workers, {python}) should use: {'; '.join(words)}."


def _word(block: Block) -> str:
    best = block.best
    gain = block.speedup(best)
    if gain < _WORTH:
        return f"a plain loop for {block.kind}"
    return f"{best} for {block.kind} ({gain:.1f} × {block.baseline})"


def run(
    tasks: int = 100_000,
    records: int = 100_000,
    workers: int | None = None,
    steps: int = 1_000,
    console: Console | None = None,
    report_to: Path | None = None,
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
    report_to : Path, optional
        Where to write the report; default: nowhere.
    """
    console = console or report.console()
    workers = workers or usable_cores()
    console.print(f"{workers} workers; {tasks:,} tasks, then {records:,} records ...")
    blocks = list(_blocks(tasks, records, workers))
    console.print(table_of(blocks))
    console.print(_told(steps), highlight=False)
    if report_to is not None:
        console.print(_reported(report_to, records, workers), highlight=False)
    console.print(advice(blocks, workers), highlight=False)


def _blocks(tasks: int, records: int, workers: int) -> Iterator[Block]:
    yield small_calls(tasks, workers)
    yield compression(40, workers)
    yield records_job(records, workers)
    yield waits()
    yield dag(2_000, workers)


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


def _reported(path: Path, records: int, workers: int) -> str:
    """Record the records on threads and on processes and the graph; write a report."""
    data = generate(records, chunk=max(records // 100, 1))
    predecessors = predecessors_of(500)
    graph = add_all(predecessors, cosines, arrays.block_of(50e-6))
    with ff.Executor(workers) as threads, ProcessExecutor(workers) as processes:
        ff.map(summarise, data, executor=processes)  # its workers are up
        with record() as recording:
            ff.map(summarise, data, executor=threads)
            ff.map(summarise, data, executor=processes)
            graph.run(executor=threads)
    try:
        recording.report(path)
    except OSError as error:
        return f"The report could not be written: {error}"
    return (
        f"Report of the records on threads, on processes, and of the graph: {path} "
        "(open it in a browser)."
    )

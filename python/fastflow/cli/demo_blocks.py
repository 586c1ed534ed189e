"""What ``fastflow demo`` measures: a kind of work each, done in all usual ways.

Each tool wins where it should. Where there are results, all ways must have the same.
"""

from __future__ import annotations

import asyncio
import builtins
import importlib.util
import multiprocessing
import random
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from fastflow.bench import arrays
from fastflow.bench import subject as ff
from fastflow.bench.flow_waits import branch, gather, independent, sleep_shortly
from fastflow.bench.graph_python import (
    add_all,
    cosines,
    predecessors_of,
    run_graphlib,
    run_sequentially,
)
from fastflow.bench.measure import Times, contest, interleave
from fastflow.bench.records import generate, merge, summarise
from fastflow.bench.workloads import noop
from fastflow.processes.executor import ProcessExecutor

__all__ = [
    "Block",
    "compression",
    "dag",
    "process_pool",
    "records_job",
    "small_calls",
    "waits",
]

_WAITS = 1_000
_WAITING_THREADS = 32


class Block(NamedTuple):
    """One kind of work, as measured."""

    title: str
    kind: str
    """The work in a word or two, for the closing line."""
    times: Times
    baseline: str
    """Whose time the others are compared with."""

    def speedup(self, name: str) -> float:
        """How many times as fast as the baseline."""
        return self.times.ratio(self.baseline, name).median

    @property
    def best(self) -> str:
        """Which of our ways was the fastest."""
        ours = [name for name in self.times.seconds if name.startswith("fastflow")]
        return min(ours, key=self.times.median)


def _submit_all(executor: Executor, items: Sequence[int]) -> list[None]:
    futures = [executor.submit(noop, item) for item in items]
    return [future.result() for future in futures]


def small_calls(tasks: int, workers: int) -> Block:
    """Many tasks that do nothing: the cost of a task itself."""
    items = range(tasks)
    with ff.Executor(workers) as ours, ThreadPoolExecutor(workers) as theirs:
        times = contest(
            {
                "ThreadPoolExecutor, submit": lambda: _submit_all(theirs, items),
                "ThreadPoolExecutor, map": lambda: list(theirs.map(noop, items)),
                "fastflow, submit": lambda: _submit_all(ours, items),
                "fastflow, map": lambda: ff.map(noop, items, executor=ours),
                "no threads: list(map)": lambda: list(builtins.map(noop, items)),
            },
            repeats=1,
        )
    title = f"fan-out of {tasks:,} no-ops"
    return Block(title, "many small calls", times, "ThreadPoolExecutor, submit")


def _packed(block: bytes) -> int:
    return len(zlib.compress(block, 6))


def compression(blocks: int, workers: int, repeats: int = 2) -> Block:
    """Functions that release the interpreter lock: threads run them side by side."""
    source = random.Random(7)
    data = [source.randbytes(40_000) * 5 for _ in range(blocks)]
    with ff.Executor(workers) as ours, ThreadPoolExecutor(workers) as theirs:
        times = contest(
            {
                "sequential": lambda: list(builtins.map(_packed, data)),
                "ThreadPoolExecutor": lambda: list(theirs.map(_packed, data)),
                "fastflow, threads": lambda: ff.map(_packed, data, executor=ours),
            },
            repeats,
        )
    title = f"{blocks:,} blocks of 200 kB, compressed"
    return Block(title, "compression, hashing, numpy", times, "sequential")


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Start a pool of processes whose workers are up before the clock runs.

    Never by plain ``fork``, which is unsafe while other threads run.
    """
    methods = multiprocessing.get_all_start_methods()
    method = "forkserver" if "forkserver" in methods else "spawn"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method))
    list(pool.map(summarise, generate(64 * workers, chunk=64)))
    return pool


def records_job(records: int, workers: int, repeats: int = 2) -> Block:
    """Parse, clean and aggregate sensor readings in pure Python."""
    blocks = generate(records)
    with (
        ff.Executor(workers) as ours,
        ThreadPoolExecutor(workers) as theirs,
        process_pool(workers) as processes,
        ProcessExecutor(workers) as our_processes,
    ):
        contestants: dict[str, Callable[[], Any]] = {
            "sequential": lambda: merge(builtins.map(summarise, blocks)),
            "ThreadPoolExecutor": lambda: merge(theirs.map(summarise, blocks)),
            "ProcessPoolExecutor": lambda: merge(processes.map(summarise, blocks)),
            "fastflow, threads": lambda: merge(
                ff.map(summarise, blocks, executor=ours)
            ),
            "fastflow, processes": lambda: merge(
                ff.map(summarise, blocks, executor=our_processes)
            ),
        }
        if importlib.util.find_spec("joblib"):
            contestants["joblib"] = lambda: merge(_by_joblib(blocks, workers))
        times = contest(contestants, repeats)
    title = f"{records:,} records, pure Python"
    return Block(title, "pure Python", times, "sequential")


def _by_joblib(blocks: Any, workers: int) -> Any:
    import joblib

    return joblib.Parallel(workers)(map(joblib.delayed(summarise), blocks))


def waits() -> Block:
    """A thousand waits of 10 ms, on threads and in an event loop."""
    flow = independent([f"wait{n}" for n in range(_WAITS)], branch)
    threads = _WAITING_THREADS
    items = range(_WAITS)
    with ff.Executor(threads) as ours, ThreadPoolExecutor(threads) as theirs:
        pool = f"ThreadPoolExecutor({threads})"
        times = interleave(
            {
                pool: lambda: list(theirs.map(sleep_shortly, items)),
                f"fastflow, {threads} threads": lambda: ff.map(
                    sleep_shortly, items, executor=ours
                ),
                "asyncio.gather": lambda: asyncio.run(gather(_WAITS)),
                "fastflow, async tasks of a flow": flow.run,
            },
            repeats=1,
        )
    return Block(f"{_WAITS:,} waits of 10 ms", "waits", times, pool)


def dag(tasks: int, workers: int, repeats: int = 3) -> Block:
    """A graph of numpy calls of about 50 µs with four predecessors each."""
    predecessors = predecessors_of(tasks)
    block = arrays.block_of(50e-6)
    graph = add_all(predecessors, cosines, block)
    with ff.Executor(workers) as executor, ThreadPoolExecutor(workers) as theirs:
        times = interleave(
            {
                "sequential": lambda: run_sequentially(predecessors, cosines, block),
                "graphlib + ThreadPoolExecutor": partial(
                    run_graphlib, theirs, predecessors, partial(cosines, block)
                ),
                "fastflow, graph": lambda: graph.run(executor=executor),
            },
            repeats,
        )
    return Block(f"graph of {tasks:,} numpy calls", "graphs", times, "sequential")

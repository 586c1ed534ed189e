"""Numpy tasks that release the interpreter lock; pure Python where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from fastflow.bench import capacity
from fastflow.bench import subject as ff
from fastflow.bench.measure import interleave
from fastflow.bench.rows import Row, Settings, Skip, faster
from fastflow.bench.workloads import count_down, has_interpreter_lock, steps_of

Block = NDArray[np.float64]


def cosines(block: Block) -> None:
    """One numpy call of a few dozen microseconds; its result is dropped."""
    np.cos(block)


def block_of(seconds: float) -> Block:
    """Numbers of which ``cosines`` takes about ``seconds`` on this machine, now."""
    sample = np.linspace(0.0, 6.0, 4_096)
    best = 1.0
    for _ in range(200):
        start = time.perf_counter()
        cosines(sample)
        best = min(best, time.perf_counter() - start)
    return np.linspace(0.0, 6.0, max(16, int(sample.size * seconds / best)))


def submit_each(
    executor: Executor, fn: Callable[[Block], None], blocks: Sequence[Block]
) -> None:
    """Submit one task per block, then take every result."""
    for future in [executor.submit(fn, block) for block in blocks]:
        future.result()


def numpy_case(
    settings: Settings, tasks: int, seconds: float, map_goal: float, submit_goal: float
) -> Iterator[Row | Skip]:
    """Speed-up over the sequential run, with the standard library's beside it."""
    workers = settings.workers
    blocks = [block_of(seconds)] * tasks
    with ff.Executor(workers) as ours, ThreadPoolExecutor(workers) as theirs:
        times = interleave(
            {
                "sequential": lambda: list(map(cosines, blocks)),
                "map": lambda: ff.map(cosines, blocks, executor=ours),
                "submit": lambda: submit_each(ours, cosines, blocks),
                "their map": lambda: list(theirs.map(cosines, blocks)),
                "their submit": lambda: submit_each(theirs, cosines, blocks),
            }
            | capacity.contestants(theirs, workers),
            settings.rounds(5),
        )
    took = times.median("sequential") / tasks * 1e6
    for form, goal in (("map", map_goal), ("submit", submit_goal)):
        peer = times.ratio("sequential", f"their {form}")
        yield Row(
            f"{tasks:,} numpy tasks of {took:.0f} µs, {form}",
            "sequential",
            took,
            times.median(form) / tasks * 1e6,
            "µs",
            times.ratio("sequential", form),
            # The goals are written for two workers.
            faster(round(goal / 2 * workers, 3)),
            f"ThreadPoolExecutor {peer.median:.2f} ×; {capacity.note(times)}",
        )


def numpy_small(settings: Settings) -> Iterator[Row | Skip]:
    """10,000 tasks of about 30 µs."""
    yield from numpy_case(settings, settings.size(10_000, 3_000), 30e-6, 1.85, 1.6)


def numpy_medium(settings: Settings) -> Iterator[Row | Skip]:
    """1,000 tasks of about 75 µs."""
    yield from numpy_case(settings, 1_000, 75e-6, 1.9, 1.9)


def pure_python(settings: Settings) -> Iterator[Row | Skip]:
    """Pure-Python tasks of a millisecond; only a build without the lock can gain."""
    title = "pure-Python tasks of 1 ms, map"
    if has_interpreter_lock():
        yield Skip(title, "needs a free-threaded build of Python")
        return
    tasks = [steps_of(1e-3)] * settings.size(1_000, 200)
    with ff.Executor(settings.workers) as executor:
        times = interleave(
            {
                "sequential": lambda: list(map(count_down, tasks)),
                "map": lambda: ff.map(count_down, tasks, executor=executor),
            },
            settings.rounds(5),
        )
    yield Row(
        title,
        "sequential",
        times.median("sequential") / len(tasks) * 1e6,
        times.median("map") / len(tasks) * 1e6,
        "µs",
        times.ratio("sequential", "map"),
        faster(round(0.95 * settings.workers, 3)),
    )

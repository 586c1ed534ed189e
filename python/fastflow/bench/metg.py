"""METG(50 %): the smallest task at which half of the workers' time is work.

Tasks of falling size are run; the efficiency of a size is the time of the work itself
over ``workers`` times the time of the parallel run. The figure is the size at which the
efficiency passes one half, interpolated between the two neighbouring sizes over the
logarithm of the size (Slaughter et al., *Task Bench*, SC 2020).
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from fastflow.bench import capacity
from fastflow.bench import subject as ff
from fastflow.bench.measure import Spread, Times, stopwatch
from fastflow.bench.rows import Row, Settings, Skip, figure_below

Kernel = Callable[[int], object]
Run = Callable[[Kernel, int], object]

#: Task sizes in nanoseconds, largest first.
SIZES = tuple(int(1_024_000 / 2**step) for step in range(14))


def submit_kernel(executor: Executor, kernel: Kernel, n: int) -> None:
    """One task per index, then every result."""
    for future in [executor.submit(kernel, i) for i in range(n)]:
        future.result()


def work_seconds(kernel: Kernel, n: int) -> float:
    """Time of the work in ``n`` tasks, without the cost of calling them one by one."""
    indices = range(n)
    spinning = stopwatch(lambda: list(map(kernel, indices)))
    calling = stopwatch(lambda: list(map(ff.kernels.noop, indices)))
    return max(spinning - calling, 1e-9)


def crossing(points: list[tuple[float, float]]) -> float:
    """Size at which the efficiency passes one half.

    Parameters
    ----------
    points : list of (size, efficiency)
        Largest size first. Efficiency 0.5 is passed where a point at or above it is
        followed by one below.

    Returns
    -------
    float
        In the unit of the sizes; infinite when no size reaches one half, the smallest
        size when all do.
    """
    if points[0][1] < 0.5:
        return math.inf
    for (size, above), (smaller, below) in itertools.pairwise(points):
        if below < 0.5:
            share = (above - 0.5) / (above - below)
            return math.exp(math.log(size) + share * math.log(smaller / size))
    return points[-1][0]


def sweep(run: Run, workers: int, budget: float) -> float:
    """METG of one way to run tasks, in seconds, from one pass over the sizes."""
    points: list[tuple[float, float]] = []
    for size in SIZES:
        kernel = ff.kernels.spin(size)
        n = min(20_000, max(64, int(budget / (size * 1e-9))))
        work = work_seconds(kernel, n)
        parallel = stopwatch(partial(run, kernel, n))
        points.append((work / n, work / (workers * parallel)))
        if points[-1][1] < 0.25:
            break
    return crossing(points)


def metg(settings: Settings) -> Iterator[Row | Skip]:
    """METG(50 %) of tasks that release the interpreter lock."""
    workers = settings.workers
    budget = 0.02 if settings.quick else 0.05
    machine: dict[str, list[float]] = {capacity.SEQUENTIAL: [], capacity.PARALLEL: []}
    with ff.Executor(workers) as ours, ThreadPoolExecutor(workers) as theirs:
        ways: dict[str, Run] = {
            "our submit": lambda kernel, n: submit_kernel(ours, kernel, n),
            "our map": lambda kernel, n: ff.map(kernel, range(n), executor=ours),
            "their submit": lambda kernel, n: submit_kernel(theirs, kernel, n),
            "their map": lambda kernel, n: list(theirs.map(kernel, range(n))),
        }
        figures: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(settings.rounds(5)):
            for name, run in ways.items():
                figures[name].append(sweep(run, workers, budget))
            for name, stretch in capacity.contestants(theirs, workers).items():
                machine[name].append(stopwatch(stretch))
    for form in ("submit", "map"):
        mine, other = figures[f"our {form}"], figures[f"their {form}"]
        yield Row(
            f"METG(50 %) of tasks that release the lock, {form}",
            "ThreadPoolExecutor",
            statistics.median(other) * 1e6,
            statistics.median(mine) * 1e6,
            "µs",
            Spread.of([b / a for a, b in zip(mine, other, strict=True)]),
            figure_below(4.0),
            capacity.note(Times(machine)),
        )

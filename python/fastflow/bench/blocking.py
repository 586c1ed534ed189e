"""Tasks that only wait: more of them at once than the machine has cores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from fastflow.bench import subject as ff
from fastflow.bench.measure import interleave
from fastflow.bench.rows import NOT_SLOWER, Row, Settings, Skip


def sleep_all(executor: Executor, seconds: float, tasks: int) -> None:
    """Submit ``tasks`` sleeps and wait for all of them."""
    for future in [executor.submit(time.sleep, seconds) for _ in range(tasks)]:
        future.result()


def sleeps(settings: Settings) -> Iterator[Row | Skip]:
    """Sleeping tasks against the standard library."""
    for tasks, seconds, workers in ((8, 0.05, 8), (1_000, 0.001, 32)):
        with ff.Executor(workers) as ours, ThreadPoolExecutor(workers) as theirs:
            times = interleave(
                {
                    "ours": partial(sleep_all, ours, seconds, tasks),
                    "theirs": partial(sleep_all, theirs, seconds, tasks),
                },
                settings.repeats,
            )
        yield Row(
            f"{tasks:,} × sleep({seconds:g}) in {workers} workers",
            "ThreadPoolExecutor",
            times.median("theirs") * 1e3,
            times.median("ours") * 1e3,
            "ms",
            times.ratio("ours", "theirs"),
            NOT_SLOWER,
        )

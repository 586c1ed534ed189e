"""Single tasks: ``submit`` and ``result``, their memory and their round trip."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from fastflow.bench import subject as ff
from fastflow.bench.measure import Spread, interleave
from fastflow.bench.memory import in_fresh_process
from fastflow.bench.rows import (
    NOT_SLOWER,
    Row,
    Settings,
    Skip,
    faster,
    figure_below,
)
from fastflow.bench.workloads import (
    count_down,
    drain,
    has_interpreter_lock,
    nothing,
    steps_of,
)

PEER = "ThreadPoolExecutor"


def submit_all(executor: Executor, n: int) -> None:
    """Submit ``n`` no-ops, then take every result."""
    for future in [executor.submit(nothing) for _ in range(n)]:
        future.result()


def submit_result(settings: Settings) -> Iterator[Row | Skip]:
    """``submit`` + ``result`` of no-ops."""
    for n, rounds in ((100_000, 5), (1_000_000, 3)):
        title = f"submit + result no-op, {n:,} tasks"
        if settings.quick and n > 100_000:
            yield Skip(title, "--quick")
            continue
        with (
            ff.Executor(settings.workers) as ours,
            ThreadPoolExecutor(settings.workers) as theirs,
        ):
            times = interleave(
                {
                    "ours": partial(submit_all, ours, n),
                    "theirs": partial(submit_all, theirs, n),
                },
                settings.rounds(rounds),
                warmup=0 if n > 100_000 else 1,
            )
        yield Row(
            title,
            PEER,
            times.median("theirs") / n * 1e9,
            times.median("ours") / n * 1e9,
            "ns",
            times.ratio("theirs", "ours"),
            faster(40),
        )


def pending_bytes(settings: Settings) -> Iterator[Row | Skip]:
    """Memory of a task that waits in the queue, its future included."""
    n = settings.size(200_000, 50_000)
    title = f"bytes per pending submit, {n:,} queued"
    try:
        theirs = in_fresh_process("stdlib", n)
        ours = in_fresh_process("ours", n)
    except OSError as error:
        yield Skip(title, str(error))
        return
    yield Row(
        title,
        PEER,
        theirs,
        ours,
        "B",
        Spread.of([theirs / ours]),
        figure_below(250),
        "resident memory, fresh processes",
    )


def round_trips(executor: Executor, n: int) -> None:
    """Submit a no-op and wait for it, ``n`` times."""
    for _ in range(n):
        executor.submit(nothing).result()


def round_trip_hot(settings: Settings) -> Iterator[Row | Skip]:
    """Submit → result, one after another without a pause."""
    n = settings.size(5_000, 1_000)
    with (
        ff.Executor(settings.workers) as ours,
        ThreadPoolExecutor(settings.workers) as theirs,
    ):
        times = interleave(
            {
                "ours": lambda: round_trips(ours, n),
                "theirs": lambda: round_trips(theirs, n),
            },
            settings.repeats,
        )
    yield Row(
        "round trip submit → result, hot",
        PEER,
        times.median("theirs") / n * 1e6,
        times.median("ours") / n * 1e6,
        "µs",
        times.ratio("theirs", "ours"),
        faster(10),
    )


def cold_trip(executor: Executor, n: int) -> float:
    """Median seconds of a round trip after 2 ms of idling."""
    figures = []
    for _ in range(n):
        time.sleep(0.002)
        start = time.perf_counter_ns()
        executor.submit(nothing).result()
        figures.append(time.perf_counter_ns() - start)
    return statistics.median(figures) * 1e-9


def round_trip_idle(settings: Settings) -> Iterator[Row | Skip]:
    """Submit → result when all workers have gone to sleep."""
    n = settings.size(200, 50)
    ours_seconds, theirs_seconds = [], []
    with (
        ff.Executor(settings.workers) as ours,
        ThreadPoolExecutor(settings.workers) as theirs,
    ):
        round_trips(ours, 100)
        round_trips(theirs, 100)
        for _ in range(settings.repeats):
            ours_seconds.append(cold_trip(ours, n))
            theirs_seconds.append(cold_trip(theirs, n))
    pairs = zip(ours_seconds, theirs_seconds, strict=True)
    yield Row(
        "round trip submit → result, after 2 ms of idling",
        PEER,
        statistics.median(theirs_seconds) * 1e6,
        statistics.median(ours_seconds) * 1e6,
        "µs",
        Spread.of([mine / other for mine, other in pairs]),
        NOT_SLOWER,
    )


def short_bodies(settings: Settings) -> Iterator[Row | Skip]:
    """Pure Python of 1 µs; only a build without the lock can gain."""
    title = "pure-Python tasks of 1 µs, submit"
    if has_interpreter_lock():
        yield Skip(title, "needs a free-threaded build of Python")
        return
    tasks = [steps_of(1e-6)] * settings.size(20_000, 5_000)
    with (
        ff.Executor(settings.workers) as executor,
        ThreadPoolExecutor(settings.workers) as threads,
    ):

        def submitted() -> None:
            for future in [executor.submit(count_down, steps) for steps in tasks]:
                future.result()

        def shared() -> None:
            shares = [
                tasks[part :: settings.workers] for part in range(settings.workers)
            ]
            drain(threads.map(lambda share: drain(map(count_down, share)), shares))

        times = interleave(
            {
                "sequential": lambda: drain(map(count_down, tasks)),
                "submit": submitted,
                "shared": shared,
            },
            settings.repeats,
        )
    yield Row(
        title,
        "sequential",
        times.median("sequential") / len(tasks) * 1e6,
        times.median("submit") / len(tasks) * 1e6,
        "µs",
        times.ratio("sequential", "submit"),
        faster(1.5),
        f"the machine allowed {times.ratio('sequential', 'shared').median:.2f} ×",
    )

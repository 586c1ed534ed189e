"""Processes: single calls, fan-outs and pure Python, beside everybody else's pools."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import Any

from fastflow.bench import capacity, process_calls
from fastflow.bench.measure import Spread, Thunk, interleave
from fastflow.bench.rows import (
    NOT_SLOWER,
    Row,
    Settings,
    Skip,
    cost,
    faster,
    figure_below,
)
from fastflow.bench.workloads import steps_of
from fastflow.pool.fanout import map as fan_out
from fastflow.processes.executor import ProcessExecutor

STDLIB = "ProcessPoolExecutor"


@contextlib.contextmanager
def pools(settings: Settings) -> Iterator[dict[str, Any]]:
    """Ours, those of the standard library, and loky where it is installed; warm."""
    with contextlib.ExitStack() as stack:
        made: dict[str, Any] = {
            "ours": stack.enter_context(ProcessExecutor(settings.workers)),
            "stdlib": stack.enter_context(ProcessPoolExecutor(settings.workers)),
        }
        if importlib.util.find_spec("loky"):
            import loky

            made["loky"] = loky.ProcessPoolExecutor(settings.workers)
            stack.callback(made["loky"].shutdown)
        for pool in made.values():
            list(pool.map(process_calls.same, range(100)))
        yield made


def submit_all(pool: Executor, n: int) -> None:
    """Submit so many no-ops, then take every result."""
    for future in [pool.submit(process_calls.nothing) for _ in range(n)]:
        future.result()


def submit_result(settings: Settings) -> Iterator[Row | Skip]:
    """``submit`` + ``result`` of no-ops, all in flight; peers make a tenth of them."""
    n = settings.size(100_000, 10_000)
    with pools(settings) as made:
        contestants: dict[str, Thunk] = {"ours": partial(submit_all, made["ours"], n)}
        for name in made.keys() - {"ours"}:
            contestants[name] = partial(submit_all, made[name], n // 10)
        times = interleave(contestants, settings.rounds(5))
        ours = times.median("ours") / n * 1e6
        for name, peer in (("stdlib", STDLIB), ("loky", "loky")):
            if name not in made:
                yield Skip(f"submit + result no-op, {n:,} calls", "no loky")
                continue
            ratio = times.ratio(name, "ours")
            ratios = [10 * each for each in (ratio.low, ratio.median, ratio.high)]
            yield Row(
                f"processes: submit + result no-op, {n:,} calls", peer,
                times.median(name) / n * 10 * 1e6, ours, "µs", Spread.of(ratios),
                faster(25),
            )  # fmt: skip
        yield Row(
            f"processes: submit + result no-op, {n:,} calls", "the goal", 2.5, ours,
            "µs", None, figure_below(2.5),
        )  # fmt: skip


def map_noop(settings: Settings) -> Iterator[Row | Skip]:
    """`map` of no-ops over ints, against the chunks of ``multiprocessing``."""
    with (
        ProcessExecutor(settings.workers) as ours,
        multiprocessing.Pool(settings.workers) as theirs,
    ):
        for n in (1_000, 10_000, 100_000, 1_000_000):
            if settings.quick and n > 100_000:
                continue
            repeat = max(10_000 // n, 1)
            times = interleave(
                {
                    "ours": partial(_map_often, ours, n, repeat),
                    "theirs": partial(_pool_often, theirs, n, repeat),
                },
                settings.repeats,
            )
            mine = times.median("ours") / n / repeat * 1e6
            yield Row(
                f"map(executor=processes) no-op, {n:,} items",
                "multiprocessing.Pool.map", times.median("theirs") / n / repeat * 1e6,
                mine, "µs", times.ratio("ours", "theirs"), NOT_SLOWER,
            )  # fmt: skip
            if n == 1_000_000:
                yield Row(
                    f"map(executor=processes) no-op, {n:,} items", "the goal", 0.15,
                    mine, "µs", None, figure_below(0.15),
                )  # fmt: skip


def _map_often(pool: Any, n: int, times: int) -> None:
    for _ in range(times):
        fan_out(process_calls.same, range(n), executor=pool)


def _pool_often(pool: Any, n: int, times: int) -> None:
    for _ in range(times):
        pool.map(process_calls.same, range(n))


def pure_python(settings: Settings) -> Iterator[Row | Skip]:
    """Tasks of 1 ms, 100 µs and 10 µs of pure Python: how much faster than one core."""
    with pools(settings) as made, ThreadPoolExecutor(settings.workers) as threads:
        ours, stdlib = made["ours"], made["stdlib"]
        for seconds, goal in ((1e-3, 1.95), (1e-4, 1.9), (1e-5, 1.6)):
            n = settings.size(int(1.0 / seconds), int(0.2 / seconds))
            n = min(n, 50_000)
            items = [steps_of(seconds, process_calls.loop)] * n
            contestants: dict[str, Thunk] = {
                "sequential": partial(_sequential, items),
                "map": partial(_map, ours, items),
                "submit": partial(_submit, ours, items),
                "stdlib": partial(_submit, stdlib, items),
                **capacity.contestants(threads, settings.workers),
            }
            times = interleave(contestants, settings.rounds(3), warmup=1)
            note = capacity.note(times)
            label = f"{seconds * 1e6:,.0f} µs of pure Python"
            for name in ("map", "submit"):
                yield Row(
                    f"processes: {n:,} × {label}, {name}", "sequential",
                    times.median("sequential"), times.median(name), "s",
                    times.ratio("sequential", name), faster(goal), note,
                )  # fmt: skip
            yield Row(
                f"processes: {n:,} × {label}, submit", STDLIB, times.median("stdlib"),
                times.median("submit"), "s", times.ratio("stdlib", "submit"),
            )  # fmt: skip


def _sequential(items: list[int]) -> list[int]:
    return [process_calls.loop(item) for item in items]


def _map(pool: Any, items: list[int]) -> Any:
    return fan_out(process_calls.loop, items, executor=pool)


def _submit(pool: Executor, items: list[int]) -> list[int]:
    futures = [pool.submit(process_calls.loop, item) for item in items]
    return [future.result() for future in futures]


def heavy_tail(settings: Settings) -> Iterator[Row | Skip]:
    """Items of 0.1 to 100 ms in any order: against the best that could be."""
    chance = random.Random(1)
    n = settings.size(400, 100)
    seconds = [min(1e-4 * chance.paretovariate(0.6), 0.1) for _ in range(n)]
    ideal = max(sum(seconds) / settings.workers, max(seconds))
    with pools(settings) as made:
        contestants: dict[str, Thunk] = {
            "map": lambda: fan_out(process_calls.spin, seconds, executor=made["ours"]),
            "stdlib": lambda: list(made["stdlib"].map(process_calls.spin, seconds)),
        }
        times = interleave(contestants, settings.rounds(5))
    measured = times.seconds["map"]
    yield Row(
        f"processes: {n} items of 0.1 to 100 ms, map", "the ideal makespan", ideal,
        times.median("map"), "s", Spread.of([each / ideal for each in measured]),
        cost(1.05),
    )  # fmt: skip
    yield Row(
        f"processes: {n} items of 0.1 to 100 ms, map", STDLIB, times.median("stdlib"),
        times.median("map"), "s", times.ratio("stdlib", "map"),
    )  # fmt: skip


def large_array(settings: Settings) -> Iterator[Row | Skip]:
    """Many calls that read one large array."""
    import numpy as np

    size = settings.size(256, 64) * 131_072
    calls = settings.size(1_000, 200)
    array = np.ones(size)
    title = f"processes: {calls:,} calls on one array of {size // 131_072} MB"

    def ours(pool: Any) -> None:
        futures = [pool.submit(process_calls.part_of, array, i) for i in range(calls)]
        for future in futures:
            future.result()

    contestants: dict[str, Thunk] = {"memcpy": lambda: array.copy()}
    with pools(settings) as made:
        contestants["ours"] = partial(ours, made["ours"])
        if importlib.util.find_spec("joblib"):
            import joblib

            def joblibs() -> None:
                run = joblib.Parallel(n_jobs=settings.workers)
                delayed = joblib.delayed(process_calls.part_of)
                run(delayed(array, i) for i in range(calls))

            contestants["joblib"] = joblibs
        times = interleave(contestants, settings.rounds(3))
    if "joblib" in contestants:
        yield Row(
            title, "joblib", times.median("joblib"), times.median("ours"), "s",
            times.ratio("joblib", "ours"), faster(1),
        )  # fmt: skip
    else:
        yield Skip(title, "no joblib")
    yield Row(
        title, "one memcpy into new memory", times.median("memcpy"),
        times.median("ours"), "s", times.ratio("ours", "memcpy"),
        note="the calls take their time, too",
    )  # fmt: skip


def large_results(settings: Settings) -> Iterator[Row | Skip]:
    """Results of 4 MB."""
    n = settings.size(200, 40)

    def run(pool: Executor) -> None:
        for future in [pool.submit(process_calls.megabytes, 4) for _ in range(n)]:
            future.result()

    with pools(settings) as made:
        times = interleave(
            {name: partial(run, made[name]) for name in ("ours", "stdlib")},
            settings.rounds(5),
        )
    yield Row(
        f"processes: {n} results of 4 MB", STDLIB, times.median("stdlib"),
        times.median("ours"), "s", times.ratio("stdlib", "ours"), faster(5),
    )  # fmt: skip


def round_trips(settings: Settings) -> Iterator[Row | Skip]:
    """Submit → result, one after another, and after 2 ms of idling."""
    n = settings.size(1_000, 200)
    with pools(settings) as made:

        def hot(pool: Executor) -> None:
            for _ in range(n):
                pool.submit(process_calls.nothing).result()

        times = interleave(
            {name: partial(hot, made[name]) for name in ("ours", "stdlib")},
            settings.repeats,
        )
        yield Row(
            "processes: round trip, hot", STDLIB, times.median("stdlib") / n * 1e6,
            times.median("ours") / n * 1e6, "µs", times.ratio("stdlib", "ours"),
            faster(3),
        )  # fmt: skip
        figures: dict[str, list[float]] = {"ours": [], "stdlib": []}
        for _ in range(settings.repeats):
            for name, seconds in figures.items():
                seconds.append(_cold(made[name], n // 5))
    pairs = zip(figures["ours"], figures["stdlib"], strict=True)
    yield Row(
        "processes: round trip, after 2 ms of idling", STDLIB,
        statistics.median(figures["stdlib"]) * 1e6,
        statistics.median(figures["ours"]) * 1e6, "µs",
        Spread.of([mine / other for mine, other in pairs]), NOT_SLOWER,
    )  # fmt: skip


def _cold(pool: Executor, n: int) -> float:
    figures = []
    for _ in range(n):
        time.sleep(0.002)
        start = time.perf_counter()
        pool.submit(process_calls.nothing).result()
        figures.append(time.perf_counter() - start)
    return statistics.median(figures)


_FIRST = """
import time
start = time.perf_counter()
{}
print(time.perf_counter() - start)
"""
_FIRST_OURS = """
import fastflow
from fastflow.bench.process_calls import same
fastflow.map(same, range(100), executor="processes", max_workers={})
"""
_FIRST_JOBLIB = """
import joblib
from fastflow.bench.process_calls import same
joblib.Parallel(n_jobs={})(joblib.delayed(same)(n) for n in range(100))
"""


def first_map(settings: Settings) -> Iterator[Row | Skip]:
    """The first map of a new program, imports and the start of processes included."""
    title = "processes: first map of a program"
    if not importlib.util.find_spec("joblib"):
        yield Skip(title, "no joblib")
        return
    texts = {"ours": _FIRST_OURS, "joblib": _FIRST_JOBLIB}
    figures: dict[str, list[float]] = {name: [] for name in texts}
    for _ in range(settings.rounds(5)):
        for name, text in texts.items():
            figures[name].append(_seconds_of(text.format(settings.workers)))
    pairs = zip(figures["ours"], figures["joblib"], strict=True)
    yield Row(
        title, "joblib (loky)", statistics.median(figures["joblib"]),
        statistics.median(figures["ours"]), "s",
        Spread.of([mine / other for mine, other in pairs]), NOT_SLOWER,
    )  # fmt: skip


def _seconds_of(text: str) -> float:
    command = [sys.executable, "-c", _FIRST.format(text)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def killed_workers(settings: Settings) -> Iterator[Row | Skip]:
    """A worker is killed every 50 ms, under load."""
    n = settings.size(100_000, 20_000)
    with ProcessExecutor(settings.workers, on_worker_death="retry") as pool:
        submit_all(pool, 1_000)

        def undisturbed() -> None:
            submit_all(pool, n)

        def disturbed() -> None:
            stop = threading.Event()
            killer = threading.Thread(target=_kill_now_and_then, args=(pool, stop))
            killer.start()
            try:
                submit_all(pool, n)
            finally:
                stop.set()
                killer.join()

        contestants: dict[str, Callable[[], object]] = {
            "undisturbed": undisturbed,
            "disturbed": disturbed,
        }
        times = interleave(contestants, settings.rounds(3))
    yield Row(
        f"processes: {n:,} calls, a worker killed every 50 ms", "no worker killed",
        times.median("undisturbed"), times.median("disturbed"), "s",
        times.ratio("undisturbed", "disturbed"), faster(0.5), "none of them lost",
    )  # fmt: skip


def _kill_now_and_then(pool: Any, stop: threading.Event) -> None:
    while not stop.wait(0.05):
        workers = [worker for worker in pool._desk.workers if worker.made]
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(workers).process.pid, signal.SIGKILL)

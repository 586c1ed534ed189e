"""Other libraries' fan-out, where they are installed: for information, no goals."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool

from fastflow.bench import subject as ff
from fastflow.bench.measure import Thunk, interleave
from fastflow.bench.rows import Row, Settings, Skip
from fastflow.bench.workloads import noop


def beside(
    settings: Settings, title: str, peer: str, n: int, run: Thunk
) -> Iterator[Row | Skip]:
    """Compare ``run``, a fan-out over ``n`` no-ops, with ``fastflow.map``."""
    with ff.Executor(settings.workers) as executor:
        times = interleave(
            {
                "theirs": run,
                "ours": lambda: ff.map(noop, range(n), executor=executor),
            },
            settings.rounds(5),
        )
    yield Row(
        f"{title}, {n:,} no-ops",
        peer,
        times.median("theirs") / n * 1e9,
        times.median("ours") / n * 1e9,
        "ns",
        times.ratio("theirs", "ours"),
    )


def thread_pool_single(settings: Settings) -> Iterator[Row | Skip]:
    """``multiprocessing.pool.ThreadPool.map`` with one item per chunk."""
    n = settings.size(100_000, 20_000)
    with ThreadPool(settings.workers) as pool:
        yield from beside(
            settings,
            "map, peer with chunk size 1",
            "multiprocessing ThreadPool.map",
            n,
            lambda: pool.map(noop, range(n), chunksize=1),
        )


def joblib_threads(settings: Settings) -> Iterator[Row | Skip]:
    """The threading backend of joblib."""
    if importlib.util.find_spec("joblib") is None:
        yield Skip(
            "map against joblib", 'not installed (pip install "fastflow[bench]")'
        )
        return
    import joblib

    n = settings.size(20_000, 5_000)
    parallel = joblib.Parallel(n_jobs=settings.workers, backend="threading")
    task = joblib.delayed(noop)
    yield from beside(
        settings,
        "map",
        "joblib, threading",
        n,
        lambda: parallel(task(i) for i in range(n)),
    )


def dask_threads(settings: Settings) -> Iterator[Row | Skip]:
    """Dask's threaded scheduler over a flat graph."""
    if importlib.util.find_spec("dask") is None:
        yield Skip("map against Dask", 'not installed (pip install "fastflow[bench]")')
        return
    from dask.threaded import get

    n = settings.size(20_000, 5_000)
    graph = {f"task-{i}": (noop, i) for i in range(n)}
    fetch: Callable[..., object] = get
    yield from beside(
        settings,
        "map",
        "Dask, threaded",
        n,
        lambda: fetch(graph, list(graph), num_workers=settings.workers),
    )

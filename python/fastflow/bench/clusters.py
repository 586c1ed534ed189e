"""Dask and Ray: many short calls, beside what these do themselves."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from fastflow.backends.dask_cluster import dask
from fastflow.backends.ray_cluster import ray
from fastflow.bench import process_calls
from fastflow.bench.measure import interleave
from fastflow.bench.rows import Row, Settings, Skip, faster
from fastflow.flows.flow import Flow

_TEXT = "flow Many:\n    items -> same[*]\n"


def _items(items: int) -> list[int]:
    return list(range(items))


def _flow() -> Flow:
    return Flow(_TEXT, registry={"items": _items, "same": process_calls.same})


def dask_items(settings: Settings) -> Iterator[Row | Skip]:
    """``[*]`` of no-ops on a local Dask cluster, against ``client.map`` and gather."""
    n = settings.size(10_000, 1_000)
    title = f"flow on Dask, [*] of {n:,} no-ops"
    if not importlib.util.find_spec("distributed"):
        yield Skip(title, "no Dask")
        return
    library: Any = importlib.import_module("distributed")
    with (
        library.LocalCluster(
            n_workers=settings.workers, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        library.Client(cluster) as client,
    ):
        flow, executor = _flow(), dask(client)

        def theirs() -> Any:
            futures = client.map(process_calls.same, range(n), pure=False)
            return client.gather(futures)

        times = interleave(
            {
                "ours": lambda: flow.run({"items": n}, executor=executor),
                "theirs": theirs,
            },
            settings.rounds(3),
        )
    yield Row(
        title, "client.map + gather", times.median("theirs"), times.median("ours"),
        "s", times.ratio("theirs", "ours"), faster(5),
    )  # fmt: skip


def ray_items(settings: Settings) -> Iterator[Row | Skip]:
    """``[*]`` of no-ops on a local Ray, against its remote functions."""
    n = settings.size(10_000, 1_000)
    title = f"flow on Ray, [*] of {n:,} no-ops"
    if not importlib.util.find_spec("ray"):
        yield Skip(title, "no Ray")
        return
    library: Any = importlib.import_module("ray")
    executor = ray(
        num_cpus=settings.workers,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    try:
        flow, remote = _flow(), library.remote(process_calls.same)
        times = interleave(
            {
                "ours": lambda: flow.run({"items": n}, executor=executor),
                "theirs": lambda: library.get([remote.remote(i) for i in range(n)]),
            },
            settings.rounds(3),
        )
    finally:
        library.shutdown()
    yield Row(
        title, "ray.get of remote calls", times.median("theirs"), times.median("ours"),
        "s", times.ratio("theirs", "ours"), faster(5),
    )  # fmt: skip

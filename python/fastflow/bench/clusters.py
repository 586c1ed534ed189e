"""Dask and Ray: many short calls, beside what these do themselves."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from functools import partial
from typing import Any

from fastflow.backends.cluster import ClusterExecutor
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


@contextlib.contextmanager
def _dask(settings: Settings) -> Iterator[tuple[Any, ClusterExecutor]]:
    """Client and executor of a cluster on this machine."""
    library: Any = importlib.import_module("distributed")
    with (
        library.LocalCluster(
            n_workers=settings.workers, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        library.Client(cluster) as client,
    ):
        yield client, dask(client)


@contextlib.contextmanager
def _ray(settings: Settings) -> Iterator[tuple[Any, ClusterExecutor]]:
    """The library and an executor of a cluster on this machine."""
    library: Any = importlib.import_module("ray")
    executor = ray(
        num_cpus=settings.workers,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    try:
        yield library, executor
    finally:
        library.shutdown()


def dask_items(settings: Settings) -> Iterator[Row | Skip]:
    """``[*]`` of no-ops on a local Dask cluster, against ``client.map`` and gather."""
    n = settings.size(10_000, 1_000)
    title = f"flow on Dask, [*] of {n:,} no-ops"
    if not importlib.util.find_spec("distributed"):
        yield Skip(title, "no Dask")
        return
    with _dask(settings) as (client, executor):
        flow = _flow()

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
    with _ray(settings) as (library, executor):
        flow, remote = _flow(), library.remote(process_calls.same)
        times = interleave(
            {
                "ours": lambda: flow.run({"items": n}, executor=executor),
                "theirs": lambda: library.get([remote.remote(i) for i in range(n)]),
            },
            settings.rounds(3),
        )
    yield Row(
        title, "ray.get of remote calls", times.median("theirs"), times.median("ours"),
        "s", times.ratio("theirs", "ours"), faster(5),
    )  # fmt: skip


_CHAIN = 10


def chains(settings: Settings) -> Iterator[Row | Skip]:
    """Tasks that pass on 50 MB, against the same calls by way of the program."""
    count = settings.size(50, 5)
    for name, module, made in (("Dask", "distributed", _dask), ("Ray", "ray", _ray)):
        title = f"flow on {name}, {_CHAIN} tasks that pass on {count} MB"
        if not importlib.util.find_spec(module):
            yield Skip(title, f"no {name}")
            continue
        with made(settings) as (_, executor):
            times = interleave(
                {
                    "ours": partial(_flow_of_chain, executor, count),
                    "theirs": partial(_calls_of_chain, executor, count),
                },
                settings.rounds(5),
            )
        yield Row(
            title, "each call's result awaited", times.median("theirs"),
            times.median("ours"), "s", times.ratio("theirs", "ours"),
            note="on one machine Ray has one memory for all",
        )  # fmt: skip


def _flow_of_chain(executor: ClusterExecutor, count: int) -> object:
    steps = [f"step_{number}" for number in range(1, _CHAIN)]
    registry = dict.fromkeys(steps, process_calls.increased)
    text = f"flow Chain:\n    first -> {' -> '.join(steps)}\n"
    flow = Flow(text, registry={"first": process_calls.megabytes, **registry})
    return flow.run({"count": count}, executor=executor)[steps[-1]]


def _calls_of_chain(executor: ClusterExecutor, count: int) -> object:
    value = executor.submit(process_calls.megabytes, count).result()
    for _ in range(1, _CHAIN):
        value = executor.submit(process_calls.increased, value).result()
    return value

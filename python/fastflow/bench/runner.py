"""Which benchmarks there are, and running them."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fastflow.bench import (
    arrays,
    blocking,
    clusters,
    durable,
    fanout,
    flow_data,
    flow_libraries,
    flow_overhead,
    flow_text,
    flow_waits,
    graph_bodies,
    graph_memory,
    graph_metg,
    graph_native,
    graph_python,
    graph_scaling,
    metg,
    native,
    peers,
    processes,
    seeing,
    submit,
    workflow_steps,
)
from fastflow.bench.rows import Benchmark, Row, Settings, Skip

#: Benchmarks by group, in the order in which they run.
GROUPS: dict[str, tuple[Benchmark, ...]] = {
    "executor": (
        fanout.map_noop,
        submit.submit_result,
        submit.pending_bytes,
        submit.round_trip_hot,
        submit.round_trip_idle,
        submit.short_bodies,
        arrays.numpy_small,
        arrays.numpy_medium,
        metg.metg,
        native.for_each_kernel,
        blocking.sleeps,
        fanout.imap_endless,
        fanout.for_each_scaling,
        arrays.pure_python,
    ),
    "graph": (
        graph_native.graph_runs,
        graph_native.graph_shuffled,
        graph_bodies.graph_bodies,
        graph_metg.graph_metg,
        graph_memory.graph_bytes,
        graph_memory.graph_bytes_growth,
        graph_scaling.graph_growth,
        graph_python.graph_python,
        graph_python.graph_graphlib,
        graph_python.graph_dask,
        graph_python.graph_numpy,
    ),
    "peers": (peers.thread_pool_single, peers.joblib_threads, peers.dask_threads),
    "flows": (
        flow_overhead.task_overhead,
        flow_overhead.different_functions,
        flow_text.parse_and_compile,
        flow_text.bytes_per_edge,
        flow_waits.sleeping_tasks,
        flow_waits.async_branches,
        flow_data.records_in_processes,
        flow_data.records_in_numpy,
        workflow_steps.builder_step,
        flow_libraries.taskinity_flow,
        flow_libraries.prefect_flow,
    ),
    "durable": (
        durable.batches,
        durable.sequential,
        durable.growth,
        durable.memory,
        durable.replay,
        durable.floor,
        durable.waiting,
    ),
    "processes": (
        processes.submit_result,
        processes.map_noop,
        processes.pure_python,
        processes.heavy_tail,
        processes.large_array,
        processes.large_results,
        processes.round_trips,
        processes.first_map,
        processes.killed_workers,
        clusters.dask_items,
        clusters.ray_items,
        clusters.chains,
    ),
    "seeing": (seeing.recording, seeing.progress, seeing.report),
}


def select(groups: Iterable[str], only: str = "") -> list[Benchmark]:
    """Benchmarks of ``groups`` whose name contains ``only``."""
    chosen = [benchmark for group in groups for benchmark in GROUPS[group]]
    return [benchmark for benchmark in chosen if only in benchmark.__name__]


def run(
    benchmarks: Iterable[Benchmark],
    settings: Settings,
    announce: Callable[[str], object] = str,
) -> Iterator[Row | Skip]:
    """Run ``benchmarks`` one after another and yield what they report.

    Parameters
    ----------
    benchmarks : iterable of Benchmark
        See `select`.
    settings : Settings
        Workers, rounds and sizes.
    announce : callable, optional
        Told the name of each benchmark before it runs.
    """
    for benchmark in benchmarks:
        announce(benchmark.__name__)
        yield from benchmark(settings)


def describe_machine() -> dict[str, object]:
    """What a reader of the figures has to know about where they were taken."""
    from fastflow.base.doctor import package_version, usable_cores

    return {
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "cores": usable_cores(),
        "fastflow": package_version("fastflow"),
        "numpy": package_version("numpy"),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def as_json(row: Row) -> dict[str, object]:
    """Make one row an object; a figure that isn't finite becomes null."""
    goal = row.goal.text if row.goal else None
    content = dataclasses.asdict(row) | {"goal": goal, "met": row.met}
    for holder in (content, content["ratio"] or {}):
        for name, value in holder.items():
            if isinstance(value, float) and not math.isfinite(value):
                holder[name] = None
    return content


def save_json(path: Path, outcome: Iterable[Row | Skip], settings: Settings) -> None:
    """Write the report as one JSON object to ``path``."""
    rows, skipped = [], []
    for item in outcome:
        if isinstance(item, Skip):
            skipped.append(dataclasses.asdict(item))
        else:
            rows.append(as_json(item))
    report = {
        "machine": describe_machine(),
        "settings": dataclasses.asdict(settings),
        "rows": rows,
        "skipped": skipped,
    }
    path.write_text(
        json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "utf-8",
    )

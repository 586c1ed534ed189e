"""A data job as a flow: processes for pure Python, threads for numpy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fastflow.bench import capacity
from fastflow.bench import subject as ff
from fastflow.bench.measure import interleave
from fastflow.bench.records import (
    Summary,
    climate,
    generate,
    merge,
    summarise,
    to_columns,
)
from fastflow.bench.rows import Row, Settings, Skip, faster
from fastflow.flows.flow import Flow

TEXT = """
flow Readings:
    blocks -> summarise[*] -> merge
"""


def list_blocks(directory: str) -> list[str]:
    """Return the files of a directory, in order."""
    return sorted(str(path) for path in Path(directory).iterdir())


def summarise_file(path: str) -> Summary:
    """Parse, clean and aggregate the readings of a file."""
    return summarise(Path(path).read_bytes())


def job() -> Flow:
    """The job on files of JSON lines; every task can go to another process."""
    return Flow(
        TEXT,
        registry={"blocks": list_blocks, "summarise": summarise_file, "merge": merge},
    )


def records_in_processes(settings: Settings) -> Iterator[Row | Skip]:
    """100,000 records in pure Python: a flow on processes against a loop."""
    count = settings.size(100_000, 20_000)
    flow = job()
    with (
        tempfile.TemporaryDirectory() as directory,
        ProcessPoolExecutor(settings.workers) as processes,
        ThreadPoolExecutor(settings.workers) as threads,
    ):
        for number, block in enumerate(generate(count, chunk=2_500)):
            Path(directory, f"{number:04}.jsonl").write_bytes(block)

        def sequential() -> Summary:
            return merge(map(summarise_file, list_blocks(directory)))

        def parallel() -> Summary:
            found: Summary = flow.run(directory, executor=processes)["merge"]
            return found

        if parallel() != sequential():
            raise ValueError("the flow gives another result than the loop")
        times = interleave(
            {
                "sequential": sequential,
                "flow": parallel,
                **capacity.contestants(threads, settings.workers),
            },
            settings.rounds(5),
        )
    yield Row(
        f"flow, {count:,} records in pure Python, processes",
        "sequential",
        times.median("sequential") * 1e3,
        times.median("flow") * 1e3,
        "ms",
        times.ratio("sequential", "flow"),
        faster(round(0.925 * settings.workers, 3)),
        capacity.note(times),
    )


def records_in_numpy(settings: Settings) -> Iterator[Row | Skip]:
    """Records as columns: a flow on threads against a loop."""
    count, copies = settings.size(100_000, 20_000), 20
    blocks = generate(count, chunk=2_500)
    columns: list[Any] = [np.tile(c, copies) for c in to_columns(blocks)]
    flow = Flow(
        TEXT,
        registry={"blocks": lambda: columns, "summarise": climate, "merge": len},
    )
    with (
        ff.Executor(settings.workers) as executor,
        ThreadPoolExecutor(settings.workers) as threads,
    ):
        times = interleave(
            {
                "sequential": lambda: list(map(climate, columns)),
                "flow": lambda: flow.run(executor=executor),
                **capacity.contestants(threads, settings.workers),
            },
            settings.repeats,
        )
    yield Row(
        f"flow, {count * copies:,} records in numpy, threads",
        "sequential",
        times.median("sequential") * 1e3,
        times.median("flow") * 1e3,
        "ms",
        times.ratio("sequential", "flow"),
        faster(round(0.95 * settings.workers, 3)),
        capacity.note(times),
    )

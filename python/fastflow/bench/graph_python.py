"""Graphs of Python functions that take their predecessors' results.

All of them are random graphs with four in-edges per node.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from graphlib import TopologicalSorter
from queue import SimpleQueue
from typing import Any

from fastflow.bench import arrays, capacity
from fastflow.bench import subject as ff
from fastflow.bench.graph_shapes import random
from fastflow.bench.measure import Thunk, interleave
from fastflow.bench.rows import Row, Settings, Skip, faster, figure_below

#: The predecessors of each node, by its number.
Predecessors = Sequence[Sequence[int]]


def noop(
    _first: object = None,
    _second: object = None,
    _third: object = None,
    _fourth: object = None,
) -> None:
    """Do nothing with up to four results: the body behind every no-op figure."""


def predecessors_of(n: int) -> list[list[int]]:
    """Rows of a random graph's in-edges."""
    shape = random(n)
    rows: list[list[int]] = [[] for _ in range(n)]
    for source, target in zip(shape.src.tolist(), shape.dst.tolist(), strict=True):
        rows[target].append(source)
    return rows


def add_all(
    predecessors: Predecessors, fn: Callable[..., object], *first: object
) -> ff.Graph:
    """Our graph of calls ``fn(*first, *results of the predecessors)``."""
    graph = ff.Graph()
    nodes: list[Any] = []
    for before in predecessors:
        nodes.append(graph.add(fn, *first, *[nodes[i] for i in before]))
    return graph


def run_sequentially(
    predecessors: Predecessors, fn: Callable[..., object], *first: object
) -> list[object]:
    """The same calls in a loop."""
    results: list[object] = []
    for before in predecessors:
        results.append(fn(*first, *[results[i] for i in before]))
    return results


def run_graphlib(
    executor: Executor, predecessors: Predecessors, fn: Callable[..., object]
) -> dict[int, object]:
    """The same calls by ``graphlib`` and an executor.

    A sorter serves once, so that filling it belongs to a run. Workers report through a
    queue, which is cheaper than callbacks of futures.
    """
    sorter = TopologicalSorter(dict(enumerate(predecessors)))
    sorter.prepare()
    results: dict[int, object] = {}
    done: SimpleQueue[tuple[int, object]] = SimpleQueue()

    def call(node: int, arguments: list[object]) -> None:
        done.put((node, fn(*arguments)))

    while sorter.is_active():
        for node in sorter.get_ready():
            executor.submit(call, node, [results[i] for i in predecessors[node]])
        node, results[node] = done.get()
        sorter.done(node)
    return results


def graph_python(settings: Settings) -> Iterator[Row | Skip]:
    """Building and running a million no-ops."""
    n = settings.size(1_000_000, 50_000)
    predecessors = predecessors_of(n)
    graph = add_all(predecessors, noop)
    with ff.Executor(settings.workers) as executor:
        times = interleave(
            {
                "run": lambda: graph.run(executor=executor),
                "loop": lambda: run_sequentially(predecessors, noop),
                "add": lambda: add_all(predecessors, noop),
                "sorter": lambda: TopologicalSorter(
                    dict(enumerate(predecessors))
                ).prepare(),
            },
            settings.rounds(3),
        )
    for title, ours, name, peer, goal in (
        ("run", "run", "loop", "the same calls in a loop", figure_below(350)),
        ("g.add", "add", "sorter", "graphlib, add and prepare", None),
    ):
        yield Row(
            f"{n:,} Python no-op nodes, 4 in-edges, {title}",
            peer,
            times.median(name) / n * 1e9,
            times.median(ours) / n * 1e9,
            "ns",
            times.ratio(name, ours),
            goal,
        )


def against(
    settings: Settings,
    peer: str,
    predecessors: Predecessors,
    run: Callable[[], object],
    times_faster: float,
) -> Row:
    """Compare running a graph of no-ops with ``run``."""
    n = len(predecessors)
    graph = add_all(predecessors, noop)
    with ff.Executor(settings.workers) as executor:
        times = interleave(
            {"ours": lambda: graph.run(executor=executor), "theirs": run},
            settings.rounds(5),
        )
    return Row(
        f"{n:,} Python no-op nodes, 4 in-edges, run",
        peer,
        times.median("theirs") / n * 1e6,
        times.median("ours") / n * 1e6,
        "µs",
        times.ratio("theirs", "ours"),
        faster(times_faster),
    )


def graph_graphlib(settings: Settings) -> Iterator[Row | Skip]:
    """Against the standard library's sorter and executor."""
    predecessors = predecessors_of(settings.size(50_000, 10_000))
    with ThreadPoolExecutor(settings.workers) as pool:
        yield against(
            settings,
            "graphlib + ThreadPoolExecutor",
            predecessors,
            partial(run_graphlib, pool, predecessors, noop),
            40,
        )


def graph_dask(settings: Settings) -> Iterator[Row | Skip]:
    """Against Dask's threaded scheduler, which is asked for the last results only."""
    if importlib.util.find_spec("dask") is None:
        yield Skip(
            "graph against Dask", 'not installed (pip install "fastflow[bench]")'
        )
        return
    from dask.threaded import get

    predecessors = predecessors_of(settings.size(10_000, 1_000))
    graph = {i: (noop, *before) for i, before in enumerate(predecessors)}
    inner = {i for before in predecessors for i in before}
    sinks = [i for i in graph if i not in inner]
    fetch: Callable[..., object] = get
    yield against(
        settings,
        "Dask, threaded",
        predecessors,
        lambda: fetch(graph, sinks, num_workers=settings.workers),
        300,
    )


def cosines(block: arrays.Block, *_results: object) -> None:
    """One numpy call of a known length; its result is dropped."""
    arrays.cosines(block)


def graph_numpy(settings: Settings) -> Iterator[Row | Skip]:
    """Nodes of about 50 µs in numpy."""
    n, workers = settings.size(2_000, 500), settings.workers
    predecessors = predecessors_of(n)
    block = arrays.block_of(50e-6)
    graph = add_all(predecessors, cosines, block)
    with ff.Executor(workers) as executor, ThreadPoolExecutor(workers) as theirs:
        contestants: dict[str, Thunk] = {
            "sequential": lambda: run_sequentially(predecessors, cosines, block),
            "ours": lambda: graph.run(executor=executor),
            "graphlib": partial(
                run_graphlib, theirs, predecessors, partial(cosines, block)
            ),
        }
        times = interleave(
            contestants | capacity.contestants(theirs, workers), settings.rounds(5)
        )
    took = times.median("sequential") / n * 1e6
    peer = times.ratio("sequential", "graphlib")
    yield Row(
        f"{n:,} numpy nodes of {took:.0f} µs, 4 in-edges, run",
        "sequential",
        took,
        times.median("ours") / n * 1e6,
        "µs",
        times.ratio("sequential", "ours"),
        # The goal is written for two workers.
        faster(round(1.9 / 2 * workers, 3)),
        f"graphlib + ThreadPoolExecutor {peer.median:.2f} ×; {capacity.note(times)}",
    )

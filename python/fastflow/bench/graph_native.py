"""Graphs with empty native bodies: building and running, against C++ schedulers.

``python -m fastflow.bench.graph_native random chain`` measures some shapes only.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from fastflow.bench import subject as ff
from fastflow.bench.graph_peer import (
    ENGINES,
    Engine,
    GraphPeers,
    PeerGraph,
    available,
    load_peers,
)
from fastflow.bench.graph_shapes import SHAPES, Shape, shuffled
from fastflow.bench.measure import Thunk, Times, interleave
from fastflow.bench.peer_library import PeerMissingError
from fastflow.bench.rows import Row, Settings, Skip, cost, faster, figure_above

#: How many times as fast as Taskflow, building included; else 20.
AGAINST_TASKFLOW = {"random": 5, "wavefront": 5, "stencil2": 5, "stencil64": 5}


def build(shape: Shape) -> ff.Graph:
    """Our graph of a shape."""
    return ff.Graph.from_edges(shape.n, shape.src, shape.dst)


def build_and_run(shape: Shape, kernel: Any, executor: ff.Executor) -> ff.Graph:
    """From the arrays to the end of the first run."""
    graph = build(shape)
    graph.run(kernel, executor=executor)
    return graph


def peer_build_and_run(
    graph: PeerGraph, name: str, workers: int, kernel: Any
) -> Engine:
    """The same for a peer, to whom the edges come sorted."""
    engine = graph.engine(name, workers)
    engine.run(kernel)
    return engine


def measure(peers: GraphPeers, shape: Shape, settings: Settings) -> Times:
    """Time runs of a built graph, and of whole cycles, by ourselves and all peers.

    Returns
    -------
    Times
        Ours under "ours" and "ours, built", peers under their names in `ENGINES`, and
        "taskflow, built".
    """
    workers, noop = settings.workers, peers.noop
    kernel = ff.Kernel(noop)
    theirs = PeerGraph(peers, shape)
    engines = {name: theirs.engine(name, workers) for name in available(peers)}
    with ff.Executor(workers) as executor:
        ours = build(shape)
        contestants: dict[str, Thunk] = {
            "ours": lambda: ours.run(kernel, executor=executor),
            "ours, built": partial(build_and_run, shape, kernel, executor),
        }
        for name, engine in engines.items():
            contestants[name] = partial(engine.run, noop)
        if "taskflow" in engines:
            contestants["taskflow, built"] = partial(
                peer_build_and_run, theirs, "taskflow", workers, noop
            )
        return interleave(contestants, settings.repeats)


def built_row(shape: Shape, key: str, times: Times) -> Row | Skip:
    """Building and running, against Taskflow."""
    title = f"{shape.name}, {shape.n:,} empty nodes, build + run"
    if "taskflow" not in times.seconds:
        return Skip(title, "no Taskflow headers (set FASTFLOW_TASKFLOW_INCLUDE)")
    ns = {name: times.median(name) / shape.n * 1e9 for name in times.seconds}
    return Row(
        title,
        ENGINES["taskflow"],
        ns["taskflow, built"],
        ns["ours, built"],
        "ns",
        times.ratio("taskflow, built", "ours, built"),
        faster(AGAINST_TASKFLOW.get(key, 20)),
        f"run alone: Taskflow {ns['taskflow']:.1f}, ours {ns['ours']:.1f}",
    )


def better_tbb(times: Times) -> str:
    """Which of oneTBB's two ways is the faster one here."""
    return min(("tbb_tasks", "tbb_flow"), key=times.median)


def run_row(shape: Shape, times: Times) -> Row:
    """Running alone, against the better of oneTBB's two ways."""
    best = better_tbb(times)
    ns = {name: times.median(name) / shape.n * 1e9 for name in times.seconds}
    others = [
        f"{title} {ns[name]:.1f}"
        for name, title in ENGINES.items()
        if name in ns and name != best
    ]
    return Row(
        f"{shape.name}, {shape.n:,} empty nodes, run",
        ENGINES[best],
        ns[best],
        ns["ours"],
        "ns",
        times.ratio("ours", best),
        cost(1.1),
        ", ".join(others),
    )


def compare(
    peers: GraphPeers, settings: Settings, keys: Iterable[str], n: int
) -> Iterator[Row | Skip]:
    """Two rows for each shape, and how many runs were faster than oneTBB's."""
    ratios = []
    for key in keys:
        shape = SHAPES[key](n)
        times = measure(peers, shape, settings)
        ratios.append(times.ratio("ours", better_tbb(times)).median)
        yield built_row(shape, key, times)
        yield run_row(shape, times)
    if len(ratios) == len(SHAPES):
        yield Row(
            f"runs that are faster, of {len(ratios)} graphs",
            "the better of oneTBB's two",
            sum(ratio > 1.0 for ratio in ratios),
            sum(ratio < 1.0 for ratio in ratios),
            "",
            None,
            figure_above(6),
        )


def graph_runs(settings: Settings) -> Iterator[Row | Skip]:
    """All shapes with empty bodies."""
    try:
        peers = load_peers()
    except PeerMissingError as error:
        yield Skip("graphs against Taskflow and oneTBB", str(error))
        return
    yield from compare(peers, settings, SHAPES, settings.size(1_000_000, 100_000))


def graph_shuffled(settings: Settings) -> Iterator[Row | Skip]:
    """A random graph whose numbers and edges are in no order that would help."""
    try:
        peers = load_peers()
    except PeerMissingError as error:
        yield Skip("graph with shuffled numbers", str(error))
        return
    shape = shuffled(SHAPES["random"](settings.size(1_000_000, 100_000)))
    times = measure(peers, shape, settings)
    yield built_row(shape, "random", times)
    yield run_row(shape, times)


def main(arguments: list[str] | None = None) -> None:
    """Measure the shapes that are named, or all of them."""
    from fastflow.bench import report

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shapes", nargs="*", help=", ".join(SHAPES))
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    keys = options.shapes or list(SHAPES)
    if unknown := sorted(set(keys) - SHAPES.keys()):
        parser.error(
            f"no shape is called {unknown[0]!r}; there are {', '.join(SHAPES)}"
        )
    settings = Settings(options.workers, options.repeats)
    outcome = list(compare(load_peers(), settings, keys, options.nodes))
    rows = [item for item in outcome if isinstance(item, Row)]
    report.console().print(report.table(rows))
    report.console().print(report.summary(outcome), highlight=False)


if __name__ == "__main__":
    main()

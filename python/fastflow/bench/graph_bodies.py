"""Graphs whose bodies take time: how close a run comes to the ideal one.

Efficiency is the ideal time over the actual one. The ideal is the work itself shared
evenly by the workers, or the longest path where that is longer. The work is measured in
every round, by a plain loop over the same bodies on one thread.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from fastflow.bench import subject as ff
from fastflow.bench.graph_native import build
from fastflow.bench.graph_peer import (
    ENGINES,
    GraphPeers,
    PeerGraph,
    available,
    load_peers,
)
from fastflow.bench.graph_shapes import SHAPES, Shape
from fastflow.bench.measure import interleave
from fastflow.bench.peer_library import PeerMissingError
from fastflow.bench.rows import Row, Settings, Skip


@dataclass(frozen=True)
class Field:
    """One shape, and who runs it.

    Attributes
    ----------
    shape : Shape
        The graph.
    critical_path : int
        Nodes on its longest path.
    runs : dict of str to callable
        Runs the graph with bodies of the length that was calibrated; "ours" and the
        names in `ENGINES`.
    """

    shape: Shape
    critical_path: int
    runs: dict[str, Callable[[], object]]

    def ideal(self, work: float, workers: int) -> float:
        """Shortest possible time, in seconds, of bodies that take ``work`` in all."""
        return max(work / workers, work * self.critical_path / self.shape.n)


def field(
    peers: GraphPeers, shape: Shape, executor: ff.Executor, workers: int
) -> Field:
    """Build the graph for everybody but the sequential sweep."""
    theirs = PeerGraph(peers, shape)
    ours, kernel = build(shape), ff.Kernel(peers.spin)
    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: ours.run(kernel, executor=executor)
    }
    for name in available(peers):
        if name != "sweep":
            runs[name] = partial(theirs.engine(name, workers).run, peers.spin)
    return Field(shape, theirs.critical_path(), runs)


def body_row(peers: GraphPeers, contest: Field, ns: int, settings: Settings) -> Row:
    """Efficiencies with bodies of one length, for information."""
    workers, n = settings.workers, contest.shape.n
    peers.calibrate(ns)
    times = interleave(
        {
            "work": lambda: peers.sequential(peers.spin, n),
            "split": lambda: peers.split(peers.spin, n, workers),
            **contest.runs,
        },
        settings.rounds(5),
        collect=False,
    )
    efficiency = {
        name: statistics.median(
            contest.ideal(work, workers) / actual
            for work, actual in zip(
                times.seconds["work"], times.seconds[name], strict=True
            )
        )
        for name in contest.runs
    }
    *others, best = sorted(efficiency.keys() - {"ours"}, key=efficiency.__getitem__)
    notes = [f"{ENGINES[name]} {efficiency[name]:.2f}" for name in reversed(others)]
    allowed = times.ratio("work", "split").median
    return Row(
        f"{contest.shape.name}, {n:,} nodes of {ns:,} ns, efficiency",
        ENGINES[best],
        efficiency[best],
        efficiency["ours"],
        "",
        times.ratio(best, "ours"),
        note="; ".join([*notes, f"the machine allowed {allowed:.2f} ×"]),
    )


def graph_bodies(settings: Settings) -> Iterator[Row | Skip]:
    """Efficiency with bodies of 100 ns, 1 µs and 10 µs."""
    try:
        peers = load_peers()
    except PeerMissingError as error:
        yield Skip("efficiency of graphs by length of body", str(error))
        return
    sizes = {100: (200_000, 20_000), 1_000: (50_000, 5_000), 10_000: (10_000, 1_000)}
    with ff.Executor(settings.workers) as executor:
        for (ns, nodes), make in itertools.product(sizes.items(), SHAPES.values()):
            shape = make(settings.size(*nodes))
            contest = field(peers, shape, executor, settings.workers)
            yield body_row(peers, contest, ns, settings)

"""METG(50 %) of graphs: the smallest body with which half of the ideal is reached.

As in `metg`, but the ideal knows the longest path, and building is excluded.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from fastflow.bench import subject as ff
from fastflow.bench.graph_bodies import Field, field
from fastflow.bench.graph_peer import ENGINES, GraphPeers, load_peers
from fastflow.bench.graph_shapes import SHAPES
from fastflow.bench.measure import Spread, stopwatch
from fastflow.bench.metg import crossing
from fastflow.bench.peer_library import PeerMissingError
from fastflow.bench.rows import Row, Settings, Skip, figure_below

#: Lengths of bodies in nanoseconds, longest first.
SIZES = tuple(2_048 // 2**step for step in range(10))
#: Largest METG in nanoseconds where neighbours meet at every step; else 100.
LARGEST = {"chain": 250.0, "stencil2": 250.0}


def sweep_sizes(peers: GraphPeers, contest: Field, workers: int) -> dict[str, float]:
    """METG(50 %) of everybody in nanoseconds, from one pass over the sizes.

    Beside it, under "split", how many times as fast the largest size ran when it was
    split among the workers without any scheduler.
    """
    n = contest.shape.n
    calls = stopwatch(lambda: peers.sequential(peers.noop, n), collect=False)
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in contest.runs}
    running = dict(contest.runs)
    allowed = 0.0
    for size in SIZES:
        peers.calibrate(size)
        work = stopwatch(lambda: peers.sequential(peers.spin, n), collect=False) - calls
        ideal = contest.ideal(max(work, 1e-9), workers)
        if not allowed:
            split = stopwatch(
                lambda: peers.split(peers.spin, n, workers), collect=False
            )
            allowed = work / split
        for name, run in list(running.items()):
            efficiency = ideal / stopwatch(run, collect=False)
            points[name].append((max(work, 1e-9) / n * 1e9, efficiency))
            if efficiency < 0.25:
                del running[name]
    figures = {name: crossing(passed) for name, passed in points.items()}
    return figures | {"split": allowed}


def pairs_of(tops: Sequence[float], bottoms: Sequence[float]) -> Spread | None:
    """Ratios inside each round, where both reached one half in every round."""
    if not all(map(math.isfinite, [*tops, *bottoms])):
        return None
    return Spread.of([a / b for a, b in zip(tops, bottoms, strict=True)])


def metg_row(
    peers: GraphPeers, contest: Field, settings: Settings, largest: float
) -> Row:
    """The smallest body with which half of the ideal is reached."""
    for run in contest.runs.values():
        run()
    rounds = [
        sweep_sizes(peers, contest, settings.workers) for _ in range(settings.rounds(5))
    ]
    figures = {name: [result[name] for result in rounds] for name in rounds[0]}
    medians = {name: statistics.median(values) for name, values in figures.items()}
    best, *others = sorted(contest.runs.keys() - {"ours"}, key=medians.__getitem__)
    notes = [
        f"{ENGINES[name]} {medians[name]:.0f}"
        if math.isfinite(medians[name])
        else f"{ENGINES[name]} over {SIZES[0]:,}"
        for name in others
    ]
    return Row(
        f"METG(50 %), {contest.shape.name}, {contest.shape.n:,} nodes",
        ENGINES[best],
        medians[best],
        medians["ours"],
        "ns",
        pairs_of(figures[best], figures["ours"]),
        figure_below(largest),
        "; ".join([*notes, f"the machine allowed {medians['split']:.2f} ×"]),
    )


def graph_metg(settings: Settings) -> Iterator[Row | Skip]:
    """METG(50 %) of every shape, building excluded."""
    try:
        peers = load_peers()
    except PeerMissingError as error:
        yield Skip("METG(50 %) of graphs", str(error))
        return
    n = settings.size(200_000, 10_000)
    with ff.Executor(settings.workers) as executor:
        for key, make in SHAPES.items():
            contest = field(peers, make(n), executor, settings.workers)
            yield metg_row(peers, contest, settings, LARGEST.get(key, 100.0))

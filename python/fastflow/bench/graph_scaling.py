"""Whether a node of ten million costs what a node of one million costs."""

from __future__ import annotations

from collections.abc import Iterator

from fastflow.bench import subject as ff
from fastflow.bench.graph_native import build
from fastflow.bench.graph_shapes import SHAPES
from fastflow.bench.measure import interleave
from fastflow.bench.rows import Row, Settings, Skip, cost


def growth_row(key: str, nodes: int, settings: Settings) -> Row:
    """Run a graph, and one of a tenth of its size ten times."""
    large, small = SHAPES[key](nodes), SHAPES[key](nodes // 10)
    graphs = build(large), build(small)
    kernel = ff.kernels.noop
    with ff.Executor(settings.workers) as executor:

        def ten_times() -> None:
            for _ in range(10):
                graphs[1].run(kernel, executor=executor)

        times = interleave(
            {
                "large": lambda: graphs[0].run(kernel, executor=executor),
                "small": ten_times,
            },
            settings.rounds(5),
        )
    return Row(
        f"{large.name}, {large.n:,} empty nodes, run",
        f"itself, {small.n:,} nodes",
        times.median("small") / (10 * small.n) * 1e9,
        times.median("large") / large.n * 1e9,
        "ns",
        times.ratio("large", "small"),
        cost(1.5),
    )


def graph_growth(settings: Settings) -> Iterator[Row | Skip]:
    """Cost per node of graphs that fit into a cache, and of larger ones."""
    nodes = settings.size(10_000_000, 1_000_000)
    for key in ("random", "wavefront", "stencil64"):
        yield growth_row(key, nodes, settings)

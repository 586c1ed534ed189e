"""Clean a photograph in tiles: one after another, and as a graph.

    python examples/image_tiles.py                      # 2,048 × 2,048 pixels
    python examples/image_tiles.py --size 4096 --workers 4

The picture is the portrait of Grace Hopper that comes with matplotlib (a photograph of
the U.S. Navy, in the public domain), enlarged by mirroring and with noise added. Some
steps of diffusion take the noise away but keep the edges (Perona and Malik, 1990). Then
the picture is parted into dark and light where that separates them best (Otsu, 1979).

A step of a tile reads one row and column more than the tile on every side, so it has to
wait for the step before of the tile itself and of its neighbours, and for nothing else:
no barrier between steps. Two pictures take turns: what a step overwrites was read for
the last time by the very tiles it waits for. The histograms of the tiles are added by a
tree of nodes which hand their results on.

Every way must give the same picture and the same threshold, or the program fails.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import fastflow
from fastflow.base.doctor import usable_cores
from fastflow.bench.measure import interleave
from fastflow.engines.graph import Node

Picture = NDArray[np.float32]
Counts = NDArray[np.int64]

#: Gradients (of brightness between 0 and 1) above this count as edges and are kept.
EDGE = np.float32(0.08)
RATE = np.float32(0.2)
BINS = 256


def photograph() -> Picture:
    """The picture as it is shipped: brightness between 0 and 1."""
    try:
        from matplotlib import cbook, image
    except ImportError:
        sys.exit('the picture comes with matplotlib: pip install "fastflow[bench]"')
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        pixels = image.imread(file, format="jpg")
    return (pixels[..., :3] @ np.array([0.299, 0.587, 0.114]) / 255).astype(np.float32)


def noisy(size: int) -> Picture:
    """The photograph, ``size`` pixels square, with noise; the same in every run."""
    picture = photograph()
    rows, columns = picture.shape
    margins = ((0, max(0, size - rows)), (0, max(0, size - columns)))
    large = np.pad(picture, margins, mode="symmetric")[:size, :size]
    noise = np.random.default_rng(5).normal(0.0, 0.05, large.shape)
    return np.clip(large + noise, 0.0, 1.0, dtype=np.float32)


@dataclass(frozen=True)
class Work:
    """The picture cut into tiles, and room for what becomes of it.

    ``pictures`` take turns: step ``k`` reads number ``k % 2`` and writes the other.
    Both have a border of one pixel, which repeats the outermost pixels.
    """

    pictures: tuple[Picture, Picture]
    tile: int
    steps: int

    @classmethod
    def of(cls, picture: Picture, tile: int, steps: int) -> Work:
        """Start with ``picture``, which is copied."""
        framed = np.pad(picture, 1, mode="edge")
        return cls((framed, framed.copy()), tile, steps)

    @property
    def size(self) -> int:
        """Pixels on each side."""
        return self.pictures[0].shape[0] - 2

    @property
    def result(self) -> Picture:
        """What the last step has written."""
        return self.pictures[self.steps % 2][1:-1, 1:-1]

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Rows and columns of the tiles."""
        across = range(-(-self.size // self.tile))
        return product(across, across)

    def span(self, place: int) -> tuple[int, int]:
        """First and last + 1 of a tile's pixels, counted in the framed picture."""
        start = place * self.tile + 1
        return start, min(start + self.tile, self.size + 1)

    def diffuse(self, step: int, row: int, column: int) -> None:
        """One step of one tile; reads one pixel beyond it on every side."""
        source, target = self.pictures[step % 2], self.pictures[1 - step % 2]
        (top, bottom), (left, right) = self.span(row), self.span(column)
        around = source[top - 1 : bottom + 1, left - 1 : right + 1]
        target[top:bottom, left:right] = diffused(around)
        # The frame belongs to the tiles at the border.
        size = self.size
        if top == 1:
            target[0, left:right] = target[1, left:right]
        if bottom == size + 1:
            target[-1, left:right] = target[-2, left:right]
        if left == 1:
            target[top:bottom, 0] = target[top:bottom, 1]
        if right == size + 1:
            target[top:bottom, -1] = target[top:bottom, -2]

    def count(self, row: int, column: int) -> Counts:
        """Histogram of a finished tile."""
        (top, bottom), (left, right) = self.span(row), self.span(column)
        pixels = self.pictures[self.steps % 2][top:bottom, left:right]
        levels = np.clip(pixels * BINS, 0, BINS - 1).astype(np.uint8)
        return np.bincount(levels.ravel(), minlength=BINS)


def diffused(around: Picture) -> Picture:
    """Let brightness flow between neighbours, the less the more they differ."""
    centre = around[1:-1, 1:-1]
    flow = np.zeros_like(centre)
    for neighbour in (
        around[:-2, 1:-1],
        around[2:, 1:-1],
        around[1:-1, :-2],
        around[1:-1, 2:],
    ):
        slope = neighbour - centre
        flow += slope * np.exp(-np.square(slope / EDGE))
    return centre + RATE * flow


def threshold(counts: Counts) -> float:
    """Brightness that parts dark from light with the largest variance between them."""
    levels = np.arange(BINS)
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * levels)
    means = sums / np.maximum(below, 1) - (sums[-1] - sums) / np.maximum(above, 1)
    return int(np.argmax(below * above * means**2)) / BINS


def run_in_a_loop(work: Work) -> float:
    """All steps of all tiles, one after another."""
    for step in range(work.steps):
        for row, column in work.tiles():
            work.diffuse(step, row, column)
    counts = [work.count(row, column) for row, column in work.tiles()]
    return threshold(np.sum(counts, axis=0))


def make_graph(work: Work) -> tuple[fastflow.Graph, Node]:
    """The same as a graph; its last node has the threshold."""
    graph = fastflow.Graph()
    before: dict[tuple[int, int], Node] = {}
    for step in range(work.steps):
        now = {}
        for row, column in work.tiles():
            around = product(range(row - 1, row + 2), range(column - 1, column + 2))
            now[row, column] = graph.add(
                work.diffuse,
                step,
                row,
                column,
                name=f"step {step} of tile {row}, {column}",
                after=[before[place] for place in around if place in before],
            )
        before = now
    counts = [
        graph.add(work.count, row, column, after=[before[row, column]])
        for row, column in work.tiles()
    ]
    while len(counts) > 1:
        pairs = [counts[k : k + 2] for k in range(0, len(counts), 2)]
        counts = [
            graph.add(np.add, *pair) if len(pair) == 2 else pair[0] for pair in pairs
        ]
    return graph, graph.add(threshold, counts[0])


def check(works: list[Work], levels: list[float]) -> None:
    """End the program unless all gave the same picture and the same threshold."""
    for work, level in zip(works, levels, strict=True):
        if level != levels[0] or not np.array_equal(work.result, works[0].result):
            sys.exit("the ways gave different pictures")


def measure(size: int, tile: int, steps: int, workers: int, repeats: int) -> None:
    """Run both ways, compare what they give, and print the table."""
    picture = noisy(size)
    looped, graphed, whole = (
        Work.of(picture, tile, steps),
        Work.of(picture, tile, steps),
        Work.of(picture, size, steps),
    )
    graph, last = make_graph(graphed)
    with fastflow.Executor(workers) as executor:

        def run_graph() -> float:
            return float(graph.run(executor=executor, keep="sinks").results[last])

        levels = [run_in_a_loop(looped), run_graph(), run_in_a_loop(whole)]
        check([looped, graphed, whole], levels)
        times = interleave(
            {"loop": lambda: run_in_a_loop(looped), "graph": run_graph}, repeats
        )
        # Each went on with what it had, equally often.
        check([looped, graphed], [run_in_a_loop(looped), run_graph()])
    ratio = times.ratio("loop", "graph")
    table = Table(title=f"{size:,} × {size:,} pixels, {steps} steps, {workers} workers")
    for heading in ("nodes", "edges", "sequential", "graph", "speed-up (min–max)"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{graph.n_nodes:,}",
        f"{graph.n_edges:,}",
        f"{times.median('loop') * 1e3:,.0f} ms",
        f"{times.median('graph') * 1e3:,.0f} ms",
        f"{ratio.median:.2f} × ({ratio.low:.2f}–{ratio.high:.2f})",
    )
    console = Console() if sys.stdout.isatty() else Console(width=110)
    console.print(table)
    console.print(
        "The loop, the graph and the whole picture at once gave the same: "
        f"dark ends at {levels[0]:.3f}.",
        highlight=False,
    )


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=2_048, help="pixels on each side")
    parser.add_argument("--tile", type=int, default=256, help="pixels of a tile's side")
    parser.add_argument("--steps", type=int, default=8, help="steps of diffusion")
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--report", metavar="FILE", help="write what was seen of it")
    options = parser.parse_args()
    numbers = options.size, options.tile, options.steps, options.workers
    if min(*numbers, options.repeats) < 1:
        parser.error("all options must be at least 1")
    recording = fastflow.record() if options.report else None
    with recording or contextlib.nullcontext():
        measure(*numbers, options.repeats)
    if recording:
        recording.report(options.report)


if __name__ == "__main__":
    main()

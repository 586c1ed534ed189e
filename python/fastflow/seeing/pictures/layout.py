"""Where the nodes of a graph stand in a picture.

Layers and orders are given; places are the best for them, layer by layer: as near to
their neighbours as distances allow, in least squares, by pooling adjacent violators.
Along is the direction in which edges go, across the one in which layers extend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastflow.seeing.pictures.layers import Layers, layers_of
from fastflow.seeing.trace import Dag

__all__ = ["Layout", "Point", "across_of", "layout"]

_PASSES = 14

Point = tuple[float, float]
Size = tuple[float, float]


def across_of(layers: Layers, sizes: Sequence[float], gap: float) -> list[float]:
    """Return the middle of each node and stop, across.

    Parameters
    ----------
    sizes : sequence of float
        Of the nodes, across.
    gap : float
        Between two neighbours at least; half as much beside a stop.
    """
    size = [*sizes, *[0.0] * (len(layers.above) - layers.count)]
    offsets = [_offsets(layers, row, size, gap) for row in layers.rows]
    at = [0.0] * len(size)
    for row, offset in zip(layers.rows, offsets, strict=True):
        middle = (offset[-1] + offset[0]) / 2 if row else 0.0
        for node, place in zip(row, offset, strict=True):
            at[node] = place - middle
    order = range(len(layers.rows))
    for turn in range(_PASSES):
        both = turn >= _PASSES - 4
        for number in order if turn % 2 == 0 else reversed(order):
            near = [layers.above] if turn % 2 == 0 else [layers.below]
            _settle(
                layers,
                layers.rows[number],
                offsets[number],
                [layers.above, layers.below] if both else near,
                at,
            )
    low = min((at[n] - size[n] / 2 for n in range(len(size))), default=0.0)
    return [place - low for place in at]


def _offsets(
    layers: Layers, row: list[int], size: list[float], gap: float
) -> list[float]:
    found, last = [], -1
    place = 0.0
    for node in row:
        if last >= 0:
            near_stop = layers.is_stop(node) or layers.is_stop(last)
            place += (size[last] + size[node]) / 2 + (gap / 2 if near_stop else gap)
        found.append(place)
        last = node
    return found


def _settle(
    layers: Layers,
    row: list[int],
    offset: list[float],
    near: list[list[list[int]]],
    at: list[float],
) -> None:
    """Move a layer to where it is nearest to its neighbours, in squares."""
    wanted, weights = [], []
    for node in row:
        weight = total = 0.0
        for side in near:
            for other in side[node]:
                # Edges that pass layers should be straight there.
                ends = layers.is_stop(node) + layers.is_stop(other)
                part = (1.0, 2.0, 8.0)[ends]
                weight += part
                total += part * at[other]
        wanted.append(total / weight if weight else at[node])
        weights.append(weight or 0.05)
    free = [place - shift for place, shift in zip(wanted, offset, strict=True)]
    for node, place, shift in zip(row, _isotonic(free, weights), offset, strict=True):
        at[node] = place + shift


def _isotonic(values: list[float], weights: list[float]) -> list[float]:
    """Return the nearest numbers that never fall, by weighted squares."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        mean, total, count = value, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, size, more = blocks.pop()
            mean = (mean * total + before * size) / (total + size)
            total, count = total + size, count + more
        blocks.append((mean, total, count))
    return [mean for mean, _, count in blocks for _ in range(count)]


class Layout(NamedTuple):
    """A picture's geometry, in pixels."""

    width: float
    height: float
    boxes: list[tuple[float, float, float, float]]
    """Left, top, width and height of each node."""
    curves: list[tuple[Point, Point, Point, Point, int]]
    """Four points (straight to the second, from the third), and the node it ends at
    (-1: it goes on from there)."""
    passes: list[tuple[Point, Point]]
    """Straight lines past a layer."""
    rightwards: bool


def layout(
    dag: Dag,
    sizes: Sequence[Size],
    *,
    rightwards: bool | None = None,
    across: float = 18,
    along: float = 46,
) -> Layout:
    """Return where to draw nodes and edges.

    Parameters
    ----------
    sizes : sequence of (float, float)
        Width and height of each node.
    rightwards : bool, optional
        Whether edges go to the right, else downwards. Default: what needs less
        shrinking to be seen on a screen.
    across, along : float
        Distances between neighbours of a layer, and between layers.
    """
    layers = layers_of(dag)
    if rightwards is not None:
        return _Picture(layers, sizes, rightwards, across, along).layout()
    right = _Picture(layers, sizes, True, across, along).layout()
    down = _Picture(layers, sizes, False, across, along).layout()
    return min(right, down, key=_shrinking)


def _shrinking(found: Layout) -> float:
    return max(found.width / 1000, found.height / 640, 0.6)


class _Picture:
    """Layers with sizes, places and a direction."""

    def __init__(
        self,
        layers: Layers,
        sizes: Sequence[Size],
        rightwards: bool,
        across: float,
        along: float,
    ) -> None:
        self.layers = layers
        self.sizes = sizes
        self.rightwards = rightwards
        self._along, self._across = (0, 1) if rightwards else (1, 0)
        self.places = across_of(layers, [size[self._across] for size in sizes], across)
        self.row_of = {node: at for at, row in enumerate(layers.rows) for node in row}
        self.thick = [max(map(self.size_of, row)) for row in layers.rows]
        self.begins, place = [], 0.0
        for size, links in zip(self.thick, [*layers.links, []], strict=False):
            self.begins.append(place)
            # Steep edges need room to turn.
            steps = [abs(self.places[a] - self.places[b]) for a, b in links]
            place += size + along + min(max(steps, default=0.0) / 12, along)

    def size_of(self, node: int) -> float:
        """How long a node is along; a stop is nothing."""
        return 0.0 if self.layers.is_stop(node) else self.sizes[node][self._along]

    def point(self, node: int, side: float, *, own: bool = True) -> Point:
        """Return the start (-1) or end (1) of a node, or of its layer."""
        at = self.row_of[node]
        whole = not own or self.layers.is_stop(node)
        size = self.thick[at] if whole else self.size_of(node)
        where = self.begins[at] + self.thick[at] / 2 + side * size / 2
        place = self.places[node]
        return (where, place) if self.rightwards else (place, where)

    def box(self, node: int) -> tuple[float, float, float, float]:
        """Return left, top, width and height of a node."""
        width, height = self.sizes[node]
        x, y = self.point(node, -1)
        if self.rightwards:
            return x, y - height / 2, width, height
        return x - width / 2, y, width, height

    def curve(self, one: int, other: int) -> tuple[Point, Point, Point, Point, int]:
        """Return what `Layout.curves` has of a link."""
        return (
            self.point(one, 1),
            self.point(one, 1, own=False),
            self.point(other, -1, own=False),
            self.point(other, -1),
            -1 if self.layers.is_stop(other) else other,
        )

    def layout(self) -> Layout:
        """Return it all."""
        layers, across = self.layers, self._across
        boxes = [self.box(node) for node in range(layers.count)]
        stops = range(layers.count, len(layers.above))
        extent = [box[across] + box[across + 2] for box in boxes]
        wide = max([*extent, *self.places[layers.count :]], default=0.0)
        long = self.begins[-1] + self.thick[-1] if self.begins else 0.0
        width, height = (long, wide) if self.rightwards else (wide, long)
        return Layout(
            width,
            height,
            boxes,
            [self.curve(*link) for links in layers.links for link in links],
            [(self.point(n, -1), self.point(n, 1)) for n in stops],
            self.rightwards,
        )

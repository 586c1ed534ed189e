"""Where the nodes of a graph stand: in layers, with few crossings.

After Sugiyama, Tagawa and Toda (1981). A node's layer is the longest way to it. Edges
that pass layers get a stop in each (one for all edges of a node, which leave together
and part where they must). The order within layers is improved by sweeps that put each
node at the mean of its neighbours. Where they stand then is the best for given orders
and distances, layer by layer: least squares by pooling adjacent violators.

Along is the direction in which edges go, across the one in which layers extend.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastflow.seeing.dag_groups import levels_of, tidy_edges
from fastflow.seeing.trace import Dag

__all__ = ["Layers", "Layout", "Link", "across_of", "layers_of", "layout"]

_SWEEPS = 24
_PATIENCE = 5
_PASSES = 14

Link = tuple[int, int]
Point = tuple[float, float]


@dataclass
class Layers:
    """Nodes in their layers, and stops (numbers from `count` on) between them."""

    count: int
    rows: list[list[int]]
    links: list[list[Link]]
    """From each layer to the next."""
    above: list[list[int]]
    below: list[list[int]]

    def is_stop(self, node: int) -> bool:
        """Whether it is no node, but where edges pass a layer."""
        return node >= self.count


def layers_of(dag: Dag) -> Layers:
    """Return layers with an order that has few crossings.

    Raises
    ------
    FlowError
        If nodes wait for each other.
    """
    count = len(dag.names)
    edges = tidy_edges(dag)
    levels = _pulled(count, edges, levels_of(count, edges))
    depth = max(levels, default=-1) + 1
    rows: list[list[int]] = [[] for _ in range(depth)]
    for node, level in enumerate(levels):
        rows[level].append(node)
    targets: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges.tolist():
        targets[source].append(target)
    links: list[list[Link]] = [[] for _ in range(max(depth - 1, 0))]
    stops = itertools.count(count)
    for source in range(count):
        _link(source, targets[source], levels, rows, links, stops)
    total = sum(len(row) for row in rows)
    above: list[list[int]] = [[] for _ in range(total)]
    below: list[list[int]] = [[] for _ in range(total)]
    for pairs in links:
        for one, other in pairs:
            below[one].append(other)
            above[other].append(one)
    made = Layers(count, rows, links, above, below)
    _order(made)
    return made


def _pulled(count: int, edges: np.ndarray, levels: np.ndarray) -> list[int]:
    """Move what waits for nothing next to the first that waits for it."""
    nearest = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(nearest, edges[:, 0], levels[edges[:, 1]] - 1)
    waits = np.zeros(count, bool)
    waits[edges[:, 1]] = True
    leads = np.zeros(count, bool)
    leads[edges[:, 0]] = True
    levels = np.where(~waits & leads, nearest, levels)
    return _spread(levels, np.flatnonzero(~waits & ~leads))


def _spread(levels: np.ndarray, alone: np.ndarray) -> list[int]:
    """Put nodes without an edge where layers are short: they need no column."""
    found: list[int] = levels.tolist()
    depth = max(int(levels.max(initial=0)) + 1, math.isqrt(len(alone)))
    sizes = np.bincount(np.delete(levels, alone), minlength=depth).tolist()
    heap = [(size, level) for level, size in enumerate(sizes)]
    heapq.heapify(heap)
    for node in alone.tolist():
        size, level = heap[0]
        heapq.heapreplace(heap, (size + 1, level))
        found[node] = level
    return found


def _link(
    source: int,
    targets: list[int],
    levels: list[int],
    rows: list[list[int]],
    links: list[list[Link]],
    stops: Iterator[int],
) -> None:
    """Connect a node with its targets, by stops in the layers between."""
    if not targets:
        return
    ahead = sorted(targets, key=levels.__getitem__)
    last = levels[ahead[-1]]
    at, level = source, levels[source]
    taken = 0
    while level < last:
        level += 1
        while taken < len(ahead) and levels[ahead[taken]] == level:
            links[level - 1].append((at, ahead[taken]))
            taken += 1
        if level < last:
            stop = next(stops)
            rows[level].append(stop)
            links[level - 1].append((at, stop))
            at = stop


# --- the order within layers ----------------------------------------------------------


def _order(layers: Layers) -> None:
    """Improve the order of the nodes' numbers, and that of a walk; the better stays."""
    fewest = _improve(layers)
    if not fewest:
        return
    best = [row.copy() for row in layers.rows]
    place = _walk(layers)
    for row in layers.rows:
        row.sort(key=place.__getitem__)
    if _improve(layers) >= fewest:
        layers.rows[:] = best


def _walk(layers: Layers) -> list[int]:
    """Number the nodes as a walk along the edges, from the loosest ends, meets them."""
    near = [
        above + below for above, below in zip(layers.above, layers.below, strict=True)
    ]
    place = [-1] * len(near)
    count = 0
    for first in sorted(range(len(near)), key=lambda node: len(near[node])):
        waiting = [first]
        while waiting:
            node = waiting.pop()
            if place[node] < 0:
                place[node] = count
                count += 1
                waiting += [other for other in near[node] if place[other] < 0]
    return place


def _improve(layers: Layers) -> int:
    """Sweep down and up; leave the best order met, and return its crossings."""
    best = [row.copy() for row in layers.rows]
    fewest = _crossings(layers)
    idle = 0
    for sweep in range(_SWEEPS):
        if not fewest or idle >= _PATIENCE:
            break
        _sweep(layers, down=sweep % 2 == 0)
        found = _crossings(layers)
        if found < fewest:
            best, fewest, idle = [row.copy() for row in layers.rows], found, 0
        else:
            idle += 1
    layers.rows[:] = best
    return fewest


def _sweep(layers: Layers, *, down: bool) -> None:
    rows = layers.rows if down else layers.rows[::-1]
    near = layers.above if down else layers.below
    for before, row in itertools.pairwise(rows):
        place = {node: at for at, node in enumerate(before)}
        wanted = {}
        for at, node in enumerate(row):
            places = [place[other] for other in near[node]]
            # Nodes without a neighbour here stay about where they are.
            mean = at * len(before) / len(row)
            wanted[node] = sum(places) / len(places) if places else mean
        # Among equals the order turns, so that sweeps get on from where they rest.
        if not down:
            row.reverse()
        row.sort(key=wanted.__getitem__)


def _crossings(layers: Layers) -> int:
    total = 0
    for upper, lower, links in zip(
        layers.rows, layers.rows[1:], layers.links, strict=False
    ):
        first = {node: at for at, node in enumerate(upper)}
        second = {node: at for at, node in enumerate(lower)}
        ends = [b for _, b in sorted((first[a], second[b]) for a, b in links)]
        total += _inversions(ends)
    return total


def _inversions(numbers: list[int]) -> int:
    seen: list[int] = []
    total = 0
    for number in numbers:
        total += len(seen) - bisect_right(seen, number)
        insort(seen, number)
    return total


# --- where they stand -----------------------------------------------------------------


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


# --- pictures -------------------------------------------------------------------------


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
    sizes: Sequence[tuple[float, float]],
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
        return _drawn(layers, sizes, rightwards, across, along)
    right = _drawn(layers, sizes, True, across, along)
    down = _drawn(layers, sizes, False, across, along)
    return min(right, down, key=_shrinking)


def _shrinking(found: Layout) -> float:
    return max(found.width / 1000, found.height / 640, 0.6)


def _drawn(
    layers: Layers,
    sizes: Sequence[tuple[float, float]],
    rightwards: bool,
    across: float,
    along: float,
) -> Layout:
    flip = 1 if rightwards else 0
    places = across_of(layers, [size[flip] for size in sizes], across)
    thick = [
        max((sizes[n][1 - flip] for n in row if not layers.is_stop(n)), default=0.0)
        for row in layers.rows
    ]
    begins, place = [], 0.0
    for size, pairs in zip(thick, [*layers.links, []], strict=True):
        begins.append(place)
        # Steep edges need room to turn.
        span = max((abs(places[a] - places[b]) for a, b in pairs), default=0.0)
        place += size + along + min(span / 12, along)
    length = begins[-1] + thick[-1] if begins else 0.0
    row_of = {node: at for at, row in enumerate(layers.rows) for node in row}

    def point(node: int, side: float, *, own: bool = True) -> Point:
        """The start (-1) or end (1) of a node, or of its layer."""
        at = row_of[node]
        size = thick[at]
        if own and not layers.is_stop(node):
            size = sizes[node][1 - flip]
        where = begins[at] + thick[at] / 2 + side * size / 2
        return (where, places[node]) if rightwards else (places[node], where)

    boxes = []
    for node, (width, height) in enumerate(sizes):
        x, y = point(node, -1)
        left, top = (x, y - height / 2) if rightwards else (x - width / 2, y)
        boxes.append((left, top, width, height))
    curves = [
        (
            point(a, 1),
            point(a, 1, own=False),
            point(b, -1, own=False),
            point(b, -1),
            -1 if layers.is_stop(b) else b,
        )
        for pairs in layers.links
        for a, b in pairs
    ]
    stops = range(layers.count, len(layers.above))
    passes = [(point(n, -1), point(n, 1)) for n in stops]
    extent = [box[flip] + box[flip + 2] for box in boxes]
    wide = max([*extent, *places[layers.count :]], default=0.0)
    width, height = (length, wide) if rightwards else (wide, length)
    return Layout(width, height, boxes, curves, passes, rightwards)

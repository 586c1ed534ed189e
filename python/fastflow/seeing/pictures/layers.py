"""The nodes of a graph in layers, with few crossings of the edges between them.

After Sugiyama, Tagawa and Toda (1981). A node's layer is the longest way to it. Edges
that pass layers get a stop in each (one for all edges of a node, which leave together
and part where they must). The order within layers is improved by sweeps that put each
node at the mean of its neighbours.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastflow.seeing.pictures.groups import levels_of, tidy_edges
from fastflow.seeing.trace import Dag

__all__ = ["Layers", "Link", "layers_of"]

_SWEEPS = 24
_PATIENCE = 5

Link = tuple[int, int]


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

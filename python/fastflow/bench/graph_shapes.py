"""The graphs that schedulers are compared on, made by numpy in one go.

In all of `SHAPES` an edge leads from a smaller to a larger number, so that the order of
the numbers is one valid order; `shuffled` takes that away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Shape:
    """A graph as two arrays: edge ``k`` leads from ``src[k]`` to ``dst[k]``.

    Attributes
    ----------
    name : str
        What kind of graph it is.
    n : int
        Number of nodes.
    src, dst : ndarray of int32
        The edges.
    """

    name: str
    n: int
    src: Ints
    dst: Ints

    @property
    def edges(self) -> int:
        """Number of edges."""
        return int(self.src.size)


def _shape(name: str, n: int, *parts: tuple[Ints, Ints]) -> Shape:
    empty = (np.empty(0, np.int32), np.empty(0, np.int32))
    sources, targets = zip(*(parts or (empty,)), strict=True)
    return Shape(
        name,
        n,
        np.concatenate(sources).astype(np.int32, copy=False),
        np.concatenate(targets).astype(np.int32, copy=False),
    )


def _numbers(*limits: int) -> Ints:
    return np.arange(*limits, dtype=np.int32)


def independent(n: int) -> Shape:
    """``n`` nodes without an edge."""
    return _shape("independent", n)


def fan(n: int) -> Shape:
    """One node before, and one after, all the others (``n`` >= 2)."""
    middle = _numbers(1, n - 1)
    return _shape(
        "fan-out, fan-in",
        n,
        (np.zeros_like(middle), middle),
        (middle, np.full_like(middle, n - 1)),
    )


def chain(n: int) -> Shape:
    """Each node after the one before it."""
    return _shape("chain", n, (_numbers(n - 1), _numbers(1, n)))


def tree(n: int) -> Shape:
    """A binary tree from the root outwards: two successors each."""
    children = _numbers(1, n)
    return _shape("binary tree", n, ((children - 1) // 2, children))


def random(n: int, degree: int = 4, seed: int = 7) -> Shape:
    """Each node after ``degree`` different earlier ones, or all where there are fewer.

    Neighbours of a row of sorted draws from a smaller range are moved apart by one
    each, which makes them distinct without looking at them again.
    """
    generator = np.random.default_rng(seed)
    head = min(n, degree)
    early, late = np.tril_indices(head, -1)
    targets = np.arange(head, n)
    draws = generator.random((targets.size, degree))
    draws *= (targets - degree + 1)[:, None]
    chosen = np.sort(draws.astype(np.int32), axis=1) + _numbers(degree)
    return _shape(
        f"random, {degree} in-edges",
        n,
        (late.astype(np.int32), early.astype(np.int32)),
        (chosen.ravel(), np.repeat(targets.astype(np.int32), degree)),
    )


def wavefront(n: int) -> Shape:
    """A square grid; each node after those to its left and above it.

    The largest square of at most ``n`` nodes.
    """
    side = max(1, math.isqrt(n))
    grid = _numbers(side * side).reshape(side, side)
    return _shape(
        "wavefront",
        side * side,
        (grid[:, :-1].ravel(), grid[:, 1:].ravel()),
        (grid[:-1].ravel(), grid[1:].ravel()),
    )


def stencil(n: int, width: int) -> Shape:
    """Rows of ``width`` nodes, each after its up to three neighbours one row before.

    As many whole rows as fit into ``n`` nodes, at least one.
    """
    rows = max(1, n // width)
    grid = _numbers(rows * width).reshape(rows, width)
    return _shape(
        f"stencil, width {width}",
        rows * width,
        (grid[:-1].ravel(), grid[1:].ravel()),
        (grid[:-1, :-1].ravel(), grid[1:, 1:].ravel()),
        (grid[:-1, 1:].ravel(), grid[1:, :-1].ravel()),
    )


def stencil_narrow(n: int) -> Shape:
    """Rows of two nodes: both workers meet at every step."""
    return stencil(n, 2)


def stencil_wide(n: int) -> Shape:
    """Rows of 64 nodes."""
    return stencil(n, 64)


def shuffled(shape: Shape, seed: int = 11) -> Shape:
    """The same graph with its nodes numbered, and its edges listed, at random."""
    generator = np.random.default_rng(seed)
    number = generator.permutation(shape.n).astype(np.int32)
    place = generator.permutation(shape.edges)
    return Shape(
        f"{shape.name}, numbers shuffled",
        shape.n,
        number[shape.src[place]],
        number[shape.dst[place]],
    )


#: All of them, by a name without blanks.
SHAPES: dict[str, Callable[[int], Shape]] = {
    "independent": independent,
    "fan": fan,
    "chain": chain,
    "tree": tree,
    "random": random,
    "wavefront": wavefront,
    "stencil2": stencil_narrow,
    "stencil64": stencil_wide,
}

"""Random graphs, and what can be read back out of pictures of them."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
from hypothesis import strategies as st

from fastflow.seeing.trace import Dag

SVG = "{http://www.w3.org/2000/svg}"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@st.composite
def dags(draw, most=12, names=None):
    """Edges go from lower to higher numbers, then the nodes are shuffled."""
    count = draw(st.integers(1, most))
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=3 * count)) if pairs else []
    order = draw(st.permutations(range(count)))
    found = np.array([(order[a], order[b]) for a, b in edges], np.int64).reshape(-1, 2)
    texts = tuple(f"n{n:02}" for n in range(count))
    if names is not None:
        texts = tuple(draw(st.lists(names, min_size=count, max_size=count)))
    return Dag(texts, found)


def dag(text, counts=()):
    """``dag("a > b, c; b > d")``: nodes in the order in which they are named."""
    names, edges = [], []

    def number(name):
        if name not in names:
            names.append(name)
        return names.index(name)

    for part in text.split(";"):
        sides = [[n.strip() for n in side.split(",")] for side in part.split(">")]
        for side in sides:
            for name in side:
                number(name)
        for before, after in itertools.pairwise(sides):
            edges += [(number(a), number(b)) for a in before for b in after]
    return Dag(tuple(names), np.array(edges, np.int64).reshape(-1, 2), counts)


class Picture:
    """An SVG of a graph, taken apart."""

    def __init__(self, text):
        self.root = ET.fromstring(text)
        self.boxes = [
            tuple(float(r.get(key)) for key in ("x", "y", "width", "height"))
            for r in self.root.iter(f"{SVG}rect")
            if r.get("class") == "box"
        ]
        self.edges = [
            points_of(path.get("d"))
            for path in self.root.iter(f"{SVG}path")
            if path.get("class") == "edge"
        ]
        self.texts = ["".join(t.itertext()) for t in self.root.iter(f"{SVG}text")]
        self.titles = ["".join(t.itertext()) for t in self.root.iter(f"{SVG}title")]


def points_of(path):
    """All points of a path of M, L and C, control points included."""
    numbers = [float(n) for n in NUMBER.findall(path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


# What lines of a terminal connect: up 1, down 2, left 4, right 8.
SIDES = dict(
    zip(" │─┘┐┤└┌├┴┬┼", (0, 3, 12, 5, 6, 7, 9, 10, 11, 13, 14, 15), strict=True)
)


def edges_drawn(drawing):
    """Follow the lines of a drawing from box to box; names are ``n00``, ``n01``, ..."""
    lines = drawing.split("\n")
    width = max(map(len, lines))
    grid = [line.ljust(width) for line in lines]
    boxes = []
    for y, line in enumerate(grid):
        for match in re.finditer(r"│ *(n\d\d) *│", line):
            boxes.append((match[1], match.start(), match.end(), y))
    found = set()
    for name, left, right, y in boxes:
        below = grid[y + 1]
        for x in range(left, right):
            if below[x] == "┬":
                for tip_x, tip_y in follow(grid, x, y + 2):
                    (target,) = (
                        other
                        for other, first, last, at in boxes
                        if at == tip_y + 2 and first < tip_x < last - 1
                    )
                    found.add((name, target))
    return found, [name for name, *_ in boxes]


def follow(grid, x, y):
    """Go down a line, and wherever it parts; never up."""
    waiting, seen, tips = [(x, y, 2)], set(), set()
    while waiting:
        x, y, way = at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        sign = grid[y][x]
        if sign == "▼":
            tips.add((x, y))
            continue
        sides = SIDES[sign]
        if way != 2 and sign == "│":  # it passes below a line
            step = 1 if way == 8 else -1
            waiting.append((x + step, y, way))
            continue
        assert sides & {2: 1, 4: 8, 8: 4}[way], f"{sign!r} at {x}, {y} is a loose end"
        if sides & 2:
            waiting.append((x, y + 1, 2))
        if sides & 4 and way != 8:
            waiting.append((x - 1, y, 4))
        if sides & 8 and way != 4:
            waiting.append((x + 1, y, 8))
    return tips

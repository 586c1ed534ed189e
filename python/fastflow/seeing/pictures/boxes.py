"""A graph drawn in characters: boxes in layers, lines between them in channels.

Between two layers lies a channel. What leaves one node there is a net: down from the
node, to the left and right in a row of the channel, down to each target. Nets share a
row if they are apart in it. A line that crosses another one passes over it, so what
meets belongs together: a net that parts has a column of its own at each target, only
those with one target meet there; and no target is entered in a column in which another
net begins.
"""

from __future__ import annotations

from typing import NamedTuple

from fastflow.base.terminal import cells
from fastflow.seeing.pictures.layers import Layers, Link, layers_of
from fastflow.seeing.pictures.layout import across_of
from fastflow.seeing.trace import Dag

__all__ = ["ASCII", "BOXES", "Signs", "boxes"]

_GAP = 2
_STOP = 2  # columns
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8


class Signs(NamedTuple):
    """The characters of a drawing."""

    lines: str
    """By the sides that are connected: up 1, down 2, left 4, right 8."""
    tip: str
    bullet: str
    back: str
    more: str


BOXES = Signs(" │││─┘┐┤─└┌├─┴┬┼", "▼", "•", "←", "…")
ASCII = Signs(" |||-+++-+++-+++", "v", "*", "<-", "~")


def boxes(dag: Dag, labels: list[str], columns: int, signs: Signs) -> str | None:
    """Return the drawing; None if it is wider than so many columns."""
    layers = layers_of(dag)
    widths = _widths(layers, labels)
    lefts = _lefts(layers, widths, columns)
    if lefts is None:
        return None
    page = _Page(signs)
    # Where lines leave nodes and stops downwards.
    starts = [
        left + (width - 1) // 2 for left, width in zip(lefts, widths, strict=False)
    ]
    starts += lefts[layers.count :]
    for number, row in enumerate(layers.rows):
        page.draw_row(layers, row, lefts, widths, starts, labels)
        if number < len(layers.links):
            page.draw_channel(_Channel(layers, number, lefts, widths, starts))
    return page.text()


def _widths(layers: Layers, labels: list[str]) -> list[int]:
    """Return the width of each box: for its label, and for all lines that enter it."""
    parting = [len(below) > 1 for below in layers.below]
    found = []
    for node, label in enumerate(labels):
        above = layers.above[node]
        entries = sum(parting[n] for n in above)
        entries += entries < len(above)
        found.append(max(cells(label) + 4, 2 * entries + 3))
    return found


def _lefts(layers: Layers, widths: list[int], columns: int) -> list[int] | None:
    """Return the first column of each node and stop, if there is room for all."""
    places = across_of(layers, widths, _GAP)
    sizes = [*widths, *[_STOP] * (len(places) - layers.count)]
    lefts = [0] * len(places)
    for row in layers.rows:
        free = 0
        for node in row:
            lefts[node] = max(round(places[node] - sizes[node] / 2), free)
            free = lefts[node] + sizes[node] + _GAP // 2
        # What is too far to the right moves back, as far as there is room.
        limit = columns
        for node in reversed(row):
            lefts[node] = min(lefts[node], limit - sizes[node])
            limit = lefts[node] - _GAP // 2
        if row and lefts[row[0]] < 0:
            return None
    least = min(lefts, default=0)
    return [left - least for left in lefts]


class _Net(NamedTuple):
    start: int
    """Column."""
    ends: list[int]

    @property
    def extent(self) -> tuple[int, int]:
        columns = [self.start, *self.ends]
        return min(columns), max(columns)

    def touches(self, other: _Net) -> bool:
        """Whether they need different rows; not if both end where they meet only."""
        one, two = sorted((self.extent, other.extent))
        if self.ends == other.ends == [one[1]] and one[1] == two[0]:
            return False
        return two[0] <= one[1] + 1


class _Channel:
    """The nets between a layer and the next, and their rows."""

    def __init__(
        self,
        layers: Layers,
        number: int,
        lefts: list[int],
        widths: list[int],
        starts: list[int],
    ) -> None:
        targets: dict[int, list[int]] = {}
        sources: dict[int, list[int]] = {}
        for source, target in layers.links[number]:
            targets.setdefault(source, []).append(target)
            sources.setdefault(target, []).append(source)
        begins = {starts[source]: source for source in targets}
        ends: dict[Link, int] = {}
        for target, above in sources.items():
            inside = range(lefts[target], lefts[target] + _STOP)
            if not layers.is_stop(target):
                inside = range(inside.start + 1, inside.start + widths[target] - 1)
            parting = [[s] for s in above if len(targets[s]) > 1]
            others = [s for s in above if len(targets[s]) == 1]
            groups = [*parting, others] if others else parting
            columns = _columns(groups, inside, begins, starts)
            for group, column in zip(groups, columns, strict=True):
                ends |= {(source, target): column for source in group}
            if layers.is_stop(target):
                starts[target] = columns[0]
        self.nets = [
            _Net(starts[source], [ends[source, target] for target in below])
            for source, below in targets.items()
        ]
        self.tips = {at for (_, t), at in ends.items() if not layers.is_stop(t)}
        self._find_rows()

    def _find_rows(self) -> None:
        """Give each net that is not straight the first row in which there is room."""
        self.rows: list[int] = []
        used: list[list[_Net]] = []
        order = sorted(range(len(self.nets)), key=lambda n: self.nets[n].extent)
        found = dict.fromkeys(order, -1)
        for number in order:
            low, high = self.nets[number].extent
            if low == high:
                continue
            row, net = 0, self.nets[number]
            while row < len(used) and any(map(net.touches, used[row])):
                row += 1
            if row == len(used):
                used.append([])
            used[row].append(net)
            found[number] = row
        self.rows = [found[number] for number in range(len(self.nets))]
        self.height = len(used)


def _columns(
    groups: list[list[int]], inside: range, begins: dict[int, int], starts: list[int]
) -> list[int]:
    """Choose a column of a target for each group of sources, from left to right.

    Where one begins that is not of the group, it can't end. As beginnings are never
    beside each other, every second column is free at least.
    """
    places = [sum(starts[s] for s in group) / len(group) for group in groups]
    order = sorted(range(len(groups)), key=places.__getitem__)
    found = [0] * len(groups)
    wanted = inside.start + (len(inside) - 1) / 2 - (len(groups) - 1)
    if len(groups) == 1 and len(groups[0]) == 1 and starts[groups[0][0]] in inside:
        wanted = starts[groups[0][0]]
    least = inside.start
    for done, number in enumerate(order):
        most = inside.stop - 2 * (len(groups) - 1 - done)
        free = [
            column
            for column in range(least, most)
            if begins.get(column, groups[number][0]) in groups[number]
        ]
        chosen = min(free, key=lambda column: abs(column - wanted))
        found[number] = chosen
        least, wanted = chosen + 1, wanted + 2
    return found


class _Page:
    """Lines of a text, by row and column."""

    def __init__(self, signs: Signs) -> None:
        self._signs = signs
        self._rows: list[dict[int, str]] = []

    def _add_rows(self, count: int) -> int:
        first = len(self._rows)
        self._rows += [{} for _ in range(count)]
        return first

    def draw_row(
        self,
        layers: Layers,
        row: list[int],
        lefts: list[int],
        widths: list[int],
        starts: list[int],
        labels: list[str],
    ) -> None:
        """Draw the boxes of a layer, and the lines that pass it."""
        top = self._add_rows(3)
        lines = self._signs.lines
        flat, upright = lines[_LEFT | _RIGHT], lines[_UP | _DOWN]
        for node in row:
            if layers.is_stop(node):
                for line in range(top, top + 3):
                    self._rows[line][starts[node]] = upright
                continue
            left, inner = lefts[node], widths[node] - 2
            upper, middle, lower = self._rows[top : top + 3]
            upper[left] = lines[_DOWN | _RIGHT] + flat * inner + lines[_DOWN | _LEFT]
            before = (inner - cells(labels[node])) // 2
            after = inner - cells(labels[node]) - before
            middle[left] = (
                f"{upright}{' ' * before}{labels[node]}{' ' * after}{upright}"
            )
            bottom = [lines[_UP | _RIGHT], *[flat] * inner, lines[_UP | _LEFT]]
            if layers.below[node]:
                bottom[starts[node] - left] = lines[_DOWN | _LEFT | _RIGHT]
            lower[left] = "".join(bottom)

    def draw_channel(self, channel: _Channel) -> None:
        """Draw the lines between two layers."""
        height = channel.height + 1
        sides: list[dict[int, int]] = [{} for _ in range(height)]
        upright: list[set[int]] = [set() for _ in range(height)]
        for net, row in zip(channel.nets, channel.rows, strict=True):
            if row < 0:
                for line in range(height):
                    upright[line].add(net.start)
                continue
            for line in range(row):
                upright[line].add(net.start)
            _join(sides[row], net)
            for end in net.ends:
                for line in range(row + 1, height):
                    upright[line].add(end)
        for row, (joined, through) in enumerate(zip(sides, upright, strict=True)):
            self._draw_line(joined, through, channel, last=row == height - 1)

    def _draw_line(
        self,
        joined: dict[int, int],
        through: set[int],
        channel: _Channel,
        *,
        last: bool,
    ) -> None:
        line = self._rows[self._add_rows(1)]
        lines = self._signs.lines
        for column, sides in joined.items():
            line[column] = lines[sides]
        for column in through:
            sides = joined.get(column, 0)
            meets = sides & (_UP | _DOWN)
            line[column] = lines[sides | _UP | _DOWN] if meets else lines[_UP | _DOWN]
            if last and column in channel.tips:
                line[column] = self._signs.tip

    def text(self) -> str:
        """Return all lines."""
        found = []
        for row in self._rows:
            line, at = [], 0
            for column in sorted(row):
                line.append(" " * (column - at) + row[column])
                at = column + cells(row[column])
            found.append("".join(line).rstrip())
        return "\n".join(found)


def _join(sides: dict[int, int], net: _Net) -> None:
    """Note how the characters of a net's row are connected."""
    low, high = net.extent
    for column in range(low, high + 1):
        before, after = _LEFT if column > low else 0, _RIGHT if column < high else 0
        sides[column] = sides.get(column, 0) | before | after
    sides[net.start] |= _UP
    for end in net.ends:
        sides[end] |= _DOWN

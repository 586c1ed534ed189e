"""A graph drawn in characters: boxes in layers, lines between them in channels.

Between two layers lies a channel. What leaves one node there is a net: down from the
node, to the left and right in a row of the channel, down to each target. Nets share a
row if they are apart in it. A line that crosses another one passes over it, so what
meets belongs together; for that no target is entered in a column in which something
else goes down, unless their nets are one: a node has several columns to choose from,
and where edges pass a layer they have two.
"""

from __future__ import annotations

from typing import NamedTuple

from fastflow.seeing.dag_layout import Layers, across_of, layers_of
from fastflow.seeing.texts import cells
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
    widths = [cells(label) + 4 for label in labels]
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
        page.draw_row(layers, row, lefts, starts, labels)
        if number < len(layers.links):
            page.draw_channel(_Channel(layers, number, lefts, widths, starts))
    return page.text()


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
        """Whether they need different rows; not if they meet where both go down."""
        one, two = sorted((self.extent, other.extent))
        if one[1] == two[0] and one[1] in self.ends and one[1] in other.ends:
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
        taken = {starts[source]: source for source in targets}
        ends = {}
        for target, above in sources.items():
            if layers.is_stop(target):
                first, width = lefts[target], _STOP
                wanted = starts[above[0]]
            else:
                first, width = lefts[target] + 1, widths[target] - 2
                wanted = starts[target]
                if len(above) == 1 and first <= starts[above[0]] < first + width:
                    wanted = starts[above[0]]
            inside = sorted(range(first, first + width), key=lambda c: abs(c - wanted))
            ends[target] = next(
                column
                for column in inside
                if column not in taken
                or (
                    taken[column] in above
                    and (len(above) == 1 or len(targets[taken[column]]) == 1)
                )
            )
            if layers.is_stop(target):
                starts[target] = ends[target]
        self.nets = [
            _Net(starts[source], [ends[target] for target in below])
            for source, below in targets.items()
        ]
        self.tips = {ends[t] for t in sources if not layers.is_stop(t)}
        self.columns = set(ends.values())
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
            left, inner = lefts[node], cells(labels[node]) + 2
            upper, middle, lower = self._rows[top : top + 3]
            upper[left] = lines[_DOWN | _RIGHT] + flat * inner + lines[_DOWN | _LEFT]
            middle[left] = f"{upright} {labels[node]} {upright}"
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

"""Graphs as SVG: one element, no script, no font, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastflow.seeing.pictures.groups import MOST, grouped
from fastflow.seeing.pictures.layout import Layout, Point, layout
from fastflow.seeing.pictures.shades import Shade, Shading, in_dark, shading_of, sheet
from fastflow.seeing.pictures.views import combined
from fastflow.seeing.texts import count_text, middle_cut, safe, width_of
from fastflow.seeing.trace import Dag

__all__ = ["dag_svg"]

_LONGEST = 30  # characters of a name
_PAD = 14
_SMALL = 11
_ROOT = "ff-dag"
_EDGE = "#6e7781"

_STYLE = (
    f".{_ROOT}{{font:13px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}}"
    f".{_ROOT} .edge{{stroke:{_EDGE};stroke-width:1.4}}"
    f".{_ROOT} .tip{{fill:{_EDGE}}}"
    f".{_ROOT} .note{{font-size:{_SMALL}px}}"
    f".{_ROOT} .key{{font-size:{_SMALL}px;fill:#1f2328}}"
    f".{_ROOT} rect{{stroke-width:1.4}}"
    f".{_ROOT} .failed rect{{stroke-width:2.4}}"
    f".{_ROOT} .skipped rect,.{_ROOT} .pending rect{{stroke-dasharray:4 3}}"
)
_DARK = "& .edge{stroke:#8b949e}& .tip{fill:#8b949e}& .key{fill:#f0f6fc}"


class _Node(NamedTuple):
    name: str
    shown: str
    note: str
    shade: Shade
    several: bool
    size: tuple[float, float]


def dag_svg(
    dag: Dag,
    *,
    colors: Sequence[str] | Sequence[float] | None = None,
    title: str | None = None,
    rightwards: bool | None = None,
    most: int = MOST,
) -> str:
    """Return the picture of a graph.

    Parameters
    ----------
    dag : Dag
        Of more than `most` nodes those that are alike are drawn as one.
    colors : sequence of str or float, optional
        By node: words (``"COMPLETED"``, ``"FAILED"``, ...) or seconds.
    title : str, optional
        What it is of, for screen readers, too.
    rightwards : bool, optional
        Whether edges go to the right, else downwards. Default: as it fits better.
    most : int

    Raises
    ------
    FlowError
        If nodes wait for each other.
    ValueError
        If there is not one color for each node.

    Examples
    --------
    >>> import numpy as np
    >>> dag = Dag(("load", "report"), np.array([[0, 1]]))
    >>> dag_svg(dag, title="Tiny").startswith("<svg ")
    True
    """
    total = len(dag.names)
    if colors is not None and len(colors) not in (0, total):
        shading_of(colors, total)  # which says what is wrong
    small, group = grouped(dag, most)
    if colors is not None and len(small.names) < total:
        colors = combined(colors, group, len(small.names))
    shading = shading_of(colors, len(small.names))
    nodes = _nodes(small, shading)
    found = layout(small, [node.size for node in nodes], rightwards=rightwards)
    legend, legend_width = _legend(shading.legend)
    width = max(found.width, legend_width) + 2 * _PAD
    height = found.height + 2 * _PAD + (24 if legend else 0)
    edges = len(dag.edges)
    said = f"{total:,} nodes, {edges:,} edges"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{_ROOT}" role="img" '
        f'font-family="sans-serif" font-size="13" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" style="max-width:100%;height:auto">'
        f"<title>{safe(title or 'Graph')}</title>"
        f"<desc>{safe(_described(small, said))}</desc>"
        f"<style>{_STYLE}{sheet(_ROOT, [*shading.shades, *shading.legend])}"
        f"{in_dark(_ROOT, _DARK)}</style>"
        f'<g transform="translate({_PAD},{_PAD})">'
        f"{_edges(found)}{''.join(map(_box, nodes, found.boxes))}"
        f'<g transform="translate(0,{found.height + 12:.0f})">{legend}</g>'
        "</g></svg>"
    )


def _described(dag: Dag, said: str) -> str:
    names = [middle_cut(name, _LONGEST) for name in dag.names]
    pairs = [f"{names[a]} → {names[b]}" for a, b in dag.edges[:20].tolist()]
    more = ", …" if len(dag.edges) > len(pairs) else ""
    return f"{said}: {', '.join(pairs)}{more}" if pairs else said


def _nodes(dag: Dag, shading: Shading) -> list[_Node]:
    made = []
    counts = dag.counts or (1,) * len(dag.names)
    for name, count, shade, note in zip(
        dag.names, counts, shading.shades, shading.notes, strict=True
    ):
        shown = middle_cut(name, _LONGEST)
        if shade.mark:
            shown = f"{shade.mark} {shown}"
        below = [count_text(count)] if count > 1 else []
        if note:
            below.append(note)
        small = " · ".join(below)
        width = max(width_of(shown), width_of(small, _SMALL), 26) + 22
        size = (width, 46.0 if small else 32.0)
        made.append(_Node(name, shown, small, shade, count > 1, size))
    return made


def _box(node: _Node, box: tuple[float, float, float, float]) -> str:
    x, y, width, height = box
    # Where a page takes away style sheets, as for notebooks from strangers, these stay.
    fill, line, ink = node.shade.light
    look = f'fill="{fill}" stroke="{line}"'
    cards = ""
    if node.several:  # a pile of cards
        cards = "".join(
            f'<rect class="card" x="{x + d:.1f}" y="{y + d:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" rx="6" {look}/>'
            for d in (6, 3)
        )
    middle = x + width / 2
    first = y + height / 2 + (-3 if node.note else 4.5)
    told = node.name if not node.note else f"{node.name} ({node.note})"
    if node.shade.word and not node.shade.key.startswith("t"):
        told += f": {node.shade.word}"
    note = ""
    if node.note:
        note = (
            f'<text class="note" x="{middle:.1f}" y="{first + 15:.1f}" '
            f'text-anchor="middle" font-size="{_SMALL}" fill="{ink}">'
            f"{safe(node.note)}</text>"
        )
    return (
        f'<g class="{node.shade.key}"><title>{safe(told)}</title>{cards}'
        f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="6" {look}/>'
        f'<text x="{middle:.1f}" y="{first:.1f}" text-anchor="middle" fill="{ink}">'
        f"{safe(node.shown)}</text>{note}</g>"
    )


def _edges(found: Layout) -> str:
    lines, tips = [], []
    for start, leave, arrive, end, node in found.curves:
        lines.append(_curve(start, leave, arrive, end, found.rightwards, node >= 0))
        if node >= 0:
            tips.append(_tip(end, found.rightwards))
    for (x, y), (to_x, to_y) in found.passes:
        lines.append(f"M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}")
    parts = [f'<path class="edge" d="{line}"/>' for line in lines]
    if tips:
        steps = "".join(dict.fromkeys(tips))
        parts.append(f'<path class="tip" stroke="none" fill="{_EDGE}" d="{steps}"/>')
    return f'<g fill="none" stroke="{_EDGE}">{"".join(parts)}</g>'


def _curve(
    start: Point, leave: Point, arrive: Point, end: Point, right: bool, tip: bool
) -> str:
    """Return a path that leaves and arrives along, and never turns back."""
    gap = 5.0 if tip else 0.0
    if right:
        end = (end[0] - gap, end[1])
        arrive = (min(arrive[0], end[0]), arrive[1])
        half = (leave[0] + arrive[0]) / 2
        one, two = (half, leave[1]), (half, arrive[1])
    else:
        end = (end[0], end[1] - gap)
        arrive = (arrive[0], min(arrive[1], end[1]))
        half = (leave[1] + arrive[1]) / 2
        one, two = (leave[0], half), (arrive[0], half)
    points = " ".join(f"{x:.1f} {y:.1f}" for x, y in (one, two, arrive))
    path = f"M{start[0]:.1f} {start[1]:.1f}"
    if leave != start:
        path += f"L{leave[0]:.1f} {leave[1]:.1f}"
    path += f"C{points}"
    return path if arrive == end else f"{path}L{end[0]:.1f} {end[1]:.1f}"


def _tip(end: Point, rightwards: bool) -> str:
    x, y = end
    if rightwards:
        return f"M{x:.1f} {y:.1f}l-8 -4v8z"
    return f"M{x:.1f} {y:.1f}l-4 -8h8z"


def _legend(shades: Sequence[Shade]) -> tuple[str, float]:
    if len(shades) < 1 or (len(shades) == 1 and not shades[0].word):
        return "", 0.0
    parts, x = [], 0.0
    for shade in shades:
        word = f"{shade.mark} {shade.word}".strip()
        fill, line, _ = shade.light
        parts.append(
            f'<g class="{shade.key}"><rect x="{x:.1f}" y="2" width="14" height="14" '
            f'rx="3" fill="{fill}" stroke="{line}"/></g><text class="key" '
            f'x="{x + 20:.1f}" y="13" font-size="{_SMALL}">{safe(word)}</text>'
        )
        x += 20 + width_of(word, _SMALL) + 18
    return "".join(parts), x

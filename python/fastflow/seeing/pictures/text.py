"""Graphs as text: Mermaid, DOT, and what a terminal shows."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from fastflow.base.terminal import cells, printable
from fastflow.seeing.pictures.boxes import ASCII, BOXES, Signs, boxes
from fastflow.seeing.pictures.groups import MOST, grouped, levels_of
from fastflow.seeing.pictures.shades import shading_of
from fastflow.seeing.pictures.views import combined
from fastflow.seeing.texts import count_text, middle_cut
from fastflow.seeing.trace import Dag

__all__ = ["dot", "mermaid", "terminal"]

_LENGTHS = (32, 24, 16, 11)  # characters of a name: the first with which it fits
_MERMAID = {
    "#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;",
    "\\": "#92;", "|": "#124;",
}  # fmt: skip


def mermaid(dag: Dag, *, most: int = MOST) -> str:
    """Return the text of a Mermaid flowchart; alike nodes of large graphs are one.

    Examples
    --------
    >>> import numpy as np
    >>> print(mermaid(Dag(("load", "clean"), np.array([[0, 1]]), (1, 1000))), end="")
    flowchart LR
        n0["load"]
        n1[["clean × 1,000"]]
        n0 --> n1
    """
    dag, _ = grouped(dag, most)
    lines = ["flowchart LR"]
    for number, (name, count) in enumerate(_named(dag)):
        text = "".join([_MERMAID.get(c, c) for c in printable(name)])
        if count > 1:
            lines.append(f'    n{number}[["{text} {count_text(count)}"]]')
        else:
            lines.append(f'    n{number}["{text}"]')
    lines += [f"    n{source} --> n{target}" for source, target in dag.edges.tolist()]
    return "\n".join(lines) + "\n"


def dot(dag: Dag, *, title: str = "flow", most: int = MOST) -> str:
    r"""Return the text of a graph in Graphviz' language.

    Examples
    --------
    >>> import numpy as np
    >>> print(dot(Dag(("load", 'a "b"'), np.array([[0, 1]]))), end="")
    digraph "flow" {
        rankdir=LR;
        node [shape=box, style=rounded];
        n0 [label="load"];
        n1 [label="a \"b\""];
        n0 -> n1;
    }
    """
    dag, _ = grouped(dag, most)
    lines = [
        f"digraph {_quoted(title)} {{",
        "    rankdir=LR;",
        "    node [shape=box, style=rounded];",
    ]
    for number, (name, count) in enumerate(_named(dag)):
        if count > 1:
            label = _quoted(f"{name} {count_text(count)}")
            lines.append(f"    n{number} [label={label}, peripheries=2];")
        else:
            lines.append(f"    n{number} [label={_quoted(name)}];")
    lines += [f"    n{source} -> n{target};" for source, target in dag.edges.tolist()]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    clean = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{clean}"'


def _named(dag: Dag) -> list[tuple[str, int]]:
    counts = dag.counts or (1,) * len(dag.names)
    return list(zip(dag.names, counts, strict=True))


def terminal(
    dag: Dag,
    *,
    colors: Sequence[str] | Sequence[float] | None = None,
    width: int | None = None,
    encoding: str | None = None,
    most: int = MOST,
) -> str:
    """Return a drawing in box characters, or a list where that is too wide.

    Parameters
    ----------
    dag : Dag
    colors : sequence of str or float, optional
        By node: words, which give it a mark, or seconds.
    width : int, optional
        Columns. Default: those of the terminal.
    encoding : str, optional
        Without box characters in it, the drawing is in ASCII. Default: that of
        ``sys.stdout``.
    most : int
        Of more nodes those that are alike are one.

    Examples
    --------
    >>> import numpy as np
    >>> print(terminal(Dag(("load", "report"), np.array([[0, 1]])), encoding="utf-8"))
     ┌──────┐
     │ load │
     └──┬───┘
        ▼
    ┌────────┐
    │ report │
    └────────┘
    """
    total = len(dag.names)
    dag, group = grouped(dag, most)
    if colors is not None and len(dag.names) < total:
        colors = combined(colors, group, len(dag.names))
    if not dag.names:
        return "(nothing)"
    columns = width or shutil.get_terminal_size().columns
    signs = _signs(encoding or getattr(sys.stdout, "encoding", None) or "utf-8")
    for longest in _LENGTHS:
        drawn = boxes(dag, _labels(dag, colors, longest, signs), columns, signs)
        if drawn is not None:
            return drawn
    return _list(
        dag, _labels(dag, colors, max(columns - 20, 12), signs), columns, signs
    )


def _signs(encoding: str) -> Signs:
    try:
        "".join(BOXES).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BOXES


def _labels(
    dag: Dag,
    colors: Sequence[str] | Sequence[float] | None,
    longest: int,
    signs: Signs,
) -> list[str]:
    shading = shading_of(colors, len(dag.names))
    found = []
    for (name, count), shade, note in zip(
        _named(dag), shading.shades, shading.notes, strict=True
    ):
        parts = [middle_cut(name, longest)]
        if count > 1:
            parts.append(count_text(count))
        if note:
            parts.append(f"({note})")
        if shade.mark:
            parts.insert(0, shade.mark)
        text = " ".join(parts)
        if signs is ASCII:
            text = text.translate(_PLAIN).encode("ascii", "replace").decode("ascii")
        found.append(text)
    return found


_PLAIN = str.maketrans(
    {
        "×": "x", "…": "~", "µ": "u", "✓": "ok", "✗": "FAILED", "▸": "running",
        "⊘": "cancelled", "–": "skipped", "≡": "cached",
    }
)  # fmt: skip


def _list(dag: Dag, labels: list[str], columns: int, signs: Signs) -> str:
    """Indent each node by its level, and name what it waits for."""
    levels = levels_of(len(dag.names), dag.edges)
    parents: list[list[int]] = [[] for _ in dag.names]
    for source, target in dag.edges.tolist():
        parents[target].append(source)
    deepest = max(columns // 3, 1)
    lines = []
    for node in levels.argsort(kind="stable").tolist():
        indent = "  " * int(levels[node])
        line = f"{indent[:deepest]}{signs.bullet} {labels[node]}"
        names = ", ".join(labels[parent] for parent in parents[node])
        more = f"{line} {signs.back} {names}"
        fits = names and cells(more) <= columns
        lines.append(more if fits else _cut(line, columns, signs))
    return "\n".join(lines)


def _cut(line: str, columns: int, signs: Signs) -> str:
    if cells(line) <= columns:
        return line
    while line and cells(line) > columns - len(signs.more):
        line = line[:-1]
    return (line + signs.more)[:columns]

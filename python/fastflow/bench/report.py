"""The table and the plot of a benchmark run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastflow.bench.measure import Spread
from fastflow.bench.rows import Row, Skip


def console() -> Console:
    """Where reports go: as wide as the terminal, 110 columns into a file."""
    plain = Console(markup=False)
    return plain if plain.is_terminal else Console(width=110, markup=False)


def figure(value: float, unit: str) -> str:
    """Print a figure with three significant digits."""
    if math.isinf(value):
        return "never"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def spread(ratio: Spread | None) -> str:
    """Print a ratio as its median above smallest and largest."""
    if ratio is None:
        return ""
    return f"{ratio.median:.2f}\n{ratio.low:.2f}–{ratio.high:.2f}"


def verdict(row: Row) -> Text:
    """Whether the goal is met, in words and colour."""
    if row.met is None:
        return Text("")
    return Text("yes", "green") if row.met else Text("NO", "bold red")


def table(rows: Sequence[Row]) -> Table:
    """Make the table of a run; it fits 80 columns."""
    result = Table(title="fastflow bench: medians of interleaved rounds", box=SIMPLE)
    result.add_column("workload, peer", overflow="fold")
    for name in ("peer", "ours", "ratio\nmin–max", "goal"):
        result.add_column(name, justify="right", no_wrap=True)
    result.add_column("met", no_wrap=True)
    for row in rows:
        note = f"\n  ({row.note})" if row.note else ""
        result.add_row(
            f"{row.workload}\n  vs {row.peer}{note}",
            figure(row.peer_figure, row.unit),
            figure(row.our_figure, row.unit),
            spread(row.ratio),
            row.goal.text if row.goal else "",
            verdict(row),
        )
    return result


def summary(outcome: Sequence[Row | Skip]) -> str:
    """One line: how many goals are met, and what did not run."""
    judged = [item for item in outcome if isinstance(item, Row) and item.goal]
    met = sum(1 for row in judged if row.met)
    skipped = [item for item in outcome if isinstance(item, Skip)]
    lines = [f"{met} of {len(judged)} goals met, {len(skipped)} skipped"]
    lines += [f"skipped: {item.workload}: {item.why}" for item in skipped]
    return "\n".join(lines)


def plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw how many times as fast as its peer each row is.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = [row for row in rows if row.our_figure > 0 and row.peer_figure > 0]
    labels = [f"{row.workload}\nvs {row.peer}" for row in bars]
    values = [row.peer_figure / row.our_figure for row in bars]
    drawing, axes = pyplot.subplots(figsize=(9, 1 + 0.5 * len(bars)))
    axes.barh(labels, values)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("peer's figure / ours (larger is better)")
    axes.invert_yaxis()
    drawing.tight_layout()
    drawing.savefig(path)
    pyplot.close(drawing)

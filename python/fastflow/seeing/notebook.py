"""What notebooks show of flows, graphs and results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastflow.durable.results import BatchResult
from fastflow.engines.graph import Graph
from fastflow.errors import FlowError
from fastflow.run.results import Result
from fastflow.seeing.pictures.dag import view_of
from fastflow.seeing.pictures.gantt import gantt_svg
from fastflow.seeing.pictures.shades import shading_of, sheet
from fastflow.seeing.pictures.svg import dag_svg
from fastflow.seeing.pictures.views import View, small_view
from fastflow.seeing.task_rows import TaskRow, task_rows
from fastflow.seeing.texts import safe, time_text
from fastflow.seeing.trace import Trace

__all__ = ["html", "svg"]

_LARGEST = 300_000  # nodes; to look at more of them takes too long for a picture
_ERRORS = 10
_ROOT = "ff-batch"


def svg(x: Any) -> str | None:
    """Return the graph, or the timeline, of something; None if it has neither."""
    trace = _trace(x)
    if trace is not None:
        return gantt_svg(trace)
    view = _view(x)
    return None if view is None else _drawn(view)


def _trace(x: Any) -> Trace | None:
    """Return a trace, or that of a recording that has ended."""
    if isinstance(x, Trace):
        return x
    try:
        data = getattr(x, "data", None)
    except RuntimeError:  # the recording goes on
        return None
    return data if isinstance(data, Trace) else None


def _view(x: Any) -> View | None:
    if isinstance(x, Graph) and x.n_nodes > _LARGEST:
        return None
    if isinstance(x, Result) and len(x.records) > _LARGEST:
        return None
    try:
        return small_view(view_of(x))
    except (TypeError, FlowError):  # it has no graph that can be drawn
        return None


def _drawn(view: View) -> str:
    colors: Sequence[str] | Sequence[float] = view.states
    if view.seconds and all(state == "COMPLETED" for state in view.states):
        colors = view.seconds  # that all have completed needs no colors
    return dag_svg(view.dag, colors=colors or None, title=view.title)


def html(x: Any) -> str | None:
    """Return what a notebook shows of something; None: its ``repr``."""
    if isinstance(x, BatchResult):
        return _batch(x)
    picture = svg(x)
    trace = _trace(x)
    if trace is not None:
        said = f"{len(trace.calls):,} calls in {time_text(trace.seconds)}"
        return f"<div><div>{said}</div>{picture}</div>"
    head = f"<div><code>{safe(repr(x))}</code></div>"
    if not isinstance(x, Result):
        return None if picture is None else f"<div>{head}{picture}</div>"
    return f"<div>{head}{picture or ''}{_table(x)}</div>"


def _table(result: Result) -> str:
    rows, total = task_rows(result)
    if not rows:
        return ""
    more = "" if len(rows) == total else f", {len(rows):,} of them shown"
    names = ["name", "status", "time", "share", "worker", "error"]
    if not any(row.error for row in rows):
        names.pop()
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{_cells(row, names)}</tr>" for row in rows)
    return (
        f"<details><summary>{total:,} tasks{more}</summary><table><thead><tr>{head}"
        f"</tr></thead><tbody>{body}</tbody></table></details>"
    )


def _cells(row: TaskRow, names: list[str]) -> str:
    return "".join(f"<td>{safe(getattr(row, name))}</td>" for name in names)


def _batch(result: BatchResult[Any]) -> str:
    """Draw how many branches succeeded, failed, or were left, as one bar."""
    found = (
        ("SUCCEEDED", len(result.succeeded())),
        ("FAILED", len(result.failed())),
        ("STARTED", len(result.started())),
    )
    shades = shading_of([word for word, _ in found], len(found)).shades
    total = len(result.all)
    parts, texts, x = [], [], 0.0
    for (word, count), shade in zip(found, shades, strict=True):
        if not count:
            continue
        width = 480 * count / total
        parts.append(
            f'<g class="{shade.key}"><title>{count:,} {word.lower()}</title>'
            f'<rect x="{x + 1:.1f}" y="1" width="{max(width - 2, 2):.1f}" height="18" '
            'rx="3"/></g>'
        )
        texts.append(f"{shade.mark} {count:,} {word.lower()}")
        x += width
    bar = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{_ROOT}" role="img" '
        f'viewBox="0 0 480 20" width="480" height="20"><title>Batch</title>'
        f"<desc>{safe(', '.join(texts))}</desc>"
        f"<style>{sheet(_ROOT, shades)}</style>{''.join(parts)}</svg>"
    )
    errors = [item for item in result.all if item.error is not None]
    lines = "".join(
        f"<tr><td>{item.index:,}</td><td>{safe(item.error.type)}</td>"
        f"<td>{safe(item.error.message)}</td></tr>"
        for item in errors[:_ERRORS]
        if item.error is not None
    )
    if lines:
        more = f" (the first {_ERRORS})" if len(errors) > _ERRORS else ""
        lines = (
            f"<details><summary>{len(errors):,} errors{more}</summary><table><tbody>"
            f"{lines}</tbody></table></details>"
        )
    reason = safe(result.completion_reason.value)
    said = safe(", ".join(texts) or "no branches")
    return f"<div><div>Batch, {reason}: {said}</div>{bar}{lines}</div>"

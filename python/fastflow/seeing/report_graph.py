"""The graph of a run in its report, coloured by what became of its tasks."""

from __future__ import annotations

import numpy as np

from fastflow.seeing.trace import Dag, State, Trace

__all__ = ["graph_of", "picture_of"]


def graph_of(trace: Trace) -> Dag | None:
    """Return the graph of the first run that has one."""
    dags = [run.dag for run in trace.runs if run.dag is not None and run.dag.names]
    return dags[0] if dags else None


def picture_of(trace: Trace) -> str | None:
    """Return its picture: by what became of tasks if some have failed, else by time."""
    try:
        from fastflow.seeing.dag_svg import dag_svg
    except ModuleNotFoundError:
        return None
    dag = graph_of(trace)
    if dag is None:
        return None
    if len(dag.labels) != len(dag.names):
        return str(dag_svg(dag))
    calls = trace.calls
    count = len(trace.labels)
    known = calls[calls["label"] >= 0]
    if (known["state"] == State.FAILED).any():
        colors = _states(known, count)
        return str(dag_svg(dag, colors=[colors[label] for label in dag.labels]))
    took = np.bincount(known["label"], known["end"] - known["start"], count) / 1e9
    return str(dag_svg(dag, colors=[float(took[label]) for label in dag.labels]))


def _states(calls: np.ndarray, labels: int) -> list[str]:
    """Return by label what became of its calls: the worst of it."""
    found = ["pending"] * labels
    for state in (
        State.CACHED,
        State.DONE,
        State.RUNNING,
        State.CANCELLED,
        State.FAILED,
    ):
        for label in np.unique(calls["label"][calls["state"] == state]):
            found[label] = state.name.lower()
    return found

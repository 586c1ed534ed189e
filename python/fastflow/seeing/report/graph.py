"""The graph of a run in its report, coloured by what became of its tasks."""

from __future__ import annotations

import numpy as np

from fastflow.seeing.pictures.svg import dag_svg
from fastflow.seeing.trace import Dag, State, Trace

__all__ = ["graph_of", "picture_of"]


def graph_of(trace: Trace) -> Dag | None:
    """Return the graph of the first run that has one."""
    dags = [run.dag for run in trace.runs if run.dag is not None and run.dag.names]
    return dags[0] if dags else None


def picture_of(trace: Trace) -> str | None:
    """Return its picture: by what became of tasks if some have failed, else by time."""
    dag = graph_of(trace)
    if dag is None:
        return None
    labels = _labels(trace, dag)
    if max(labels) < 0:
        return dag_svg(dag)
    calls = trace.calls
    count = len(trace.labels)
    known = calls[calls["label"] >= 0]
    if (known["state"] == State.FAILED).any():
        states = [*_states(known, count), "skipped"]  # that of -1 is the last one
        return dag_svg(dag, colors=[states[label] for label in labels])
    took = np.bincount(known["label"], known["end"] - known["start"], count + 1) / 1e9
    return dag_svg(dag, colors=[float(took[label]) for label in labels])


def _labels(trace: Trace, dag: Dag) -> list[int]:
    """Return the label of each node, -1 if it has none: by its name if need be."""
    if len(dag.labels) == len(dag.names):
        return [label if label < len(trace.labels) else -1 for label in dag.labels]
    known = {name: label for label, name in enumerate(trace.labels)}
    return [
        known.get(name, known.get(name.removesuffix("[*]"), -1)) for name in dag.names
    ]


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

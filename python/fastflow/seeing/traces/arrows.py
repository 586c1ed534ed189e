"""What led to which call: from a call to those that waited for it, from a submission.

In a graph a call has an arrow from each node that it waited for, and there from the
call that ended last. Elsewhere it is known when it could have begun.
"""

from __future__ import annotations

import numpy as np

from fastflow.seeing.nodes import graph_runs, node_of
from fastflow.seeing.trace import Dag, Kind, Trace

__all__ = ["dependencies", "submissions"]


def dependencies(trace: Trace) -> np.ndarray:
    """Return pairs of positions of spans: from a call to one that waited for it."""
    spans = trace.spans
    call = np.flatnonzero(spans["kind"] == Kind.CALL)
    found = [np.zeros((0, 2), np.int64)]
    within = graph_runs(trace, spans["run"][call])
    for number, run in enumerate(trace.runs):
        if run.dag is not None and len(run.dag.edges):
            mine = call[within == number]
            of_mine = spans["label"][mine], spans["item"][mine]
            node = node_of(run.dag, run.kind, trace.labels, *of_mine)
            found.append(_of_graph(trace, mine[node >= 0], node[node >= 0], run.dag))
    return np.concatenate(found)


def _of_graph(trace: Trace, call: np.ndarray, node: np.ndarray, dag: Dag) -> np.ndarray:
    size = len(dag.names)
    edges = np.asarray(dag.edges, np.int64).reshape(-1, 2)
    edges = edges[((edges >= 0) & (edges < size)).all(axis=1)]
    start, end = trace.spans["start"][call], trace.spans["end"][call]
    last = np.full(size, -1)
    by_end = np.argsort(end, kind="stable")
    last[node[by_end]] = call[by_end]
    # Only the first attempt of a call waited for others.
    first = trace.spans["attempt"][call] <= 1
    call, node, start = call[first], node[first], start[first]
    order = np.argsort(node, kind="stable")
    begins = np.searchsorted(node[order], np.arange(size + 1))
    many = np.diff(begins)[edges[:, 1]]
    source = np.repeat(last[edges[:, 0]], many)
    steps = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
    target = order[np.repeat(begins[edges[:, 1]], many) + steps]
    # Of two that began at the same moment, neither waited for the other.
    known = (source >= 0) & (trace.spans["end"][source] <= start[target])
    known &= trace.spans["start"][source] < start[target]
    return np.stack([source[known], call[target[known]]], axis=1)


def submissions(trace: Trace, dependent: np.ndarray) -> np.ndarray:
    """Return positions of calls that were submitted, one by one, and when is known.

    Parameters
    ----------
    dependent : ndarray
        Positions of calls that have been led to by others.
    """
    spans = trace.spans
    alone = np.array([run.kind == "executor" for run in trace.runs] + [True])
    run = spans["run"].astype(np.int64)
    run[(run < 0) | (run >= len(trace.runs))] = len(trace.runs)
    mine = (spans["kind"] == Kind.CALL) & (spans["ready"] >= 0) & alone[run]
    mine &= (spans["attempt"] <= 1) & (spans["ready"] <= spans["start"])
    mine[dependent] = False
    return np.flatnonzero(mine)

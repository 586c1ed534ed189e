"""Which node of a graph a call belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastflow.seeing.trace import Dag, Trace

__all__ = ["graph_runs", "node_of"]

_EACH = "[*]"


def graph_runs(trace: Trace, run: np.ndarray) -> np.ndarray:
    """Return for each call the run in whose graph it is a node; -1: in none.

    That is its own, or the nearest one around it: the items of a task are made by a
    map within the flow.

    Parameters
    ----------
    run : ndarray
        Of each call.
    """
    count = len(trace.runs)
    around = np.full(count + 1, -1)
    for number in range(count):
        at, looked = number, 0
        while 0 <= at < count and looked < count:  # a circle has no graph
            dag = trace.runs[at].dag
            if dag is not None and len(dag.names):
                around[number] = at
                break
            at, looked = trace.runs[at].parent, looked + 1
    found: np.ndarray = around[np.where((run >= 0) & (run < count), run, count)]
    return found


def node_of(
    dag: Dag, kind: str, names: Sequence[str], label: np.ndarray, item: np.ndarray
) -> np.ndarray:
    """Return the number of the node of each call; -1: none.

    Nodes have labels of their own in flows. Nodes of a graph may share them; there the
    item is the node, unless several nodes were made one.

    Parameters
    ----------
    kind : str
        Of the run that the graph is of.
    names : sequence of str
        The labels of the trace, for graphs whose nodes have none but their names.
    label, item : ndarray
        Of each call.
    """
    size = len(dag.names)
    labels = np.asarray(dag.labels, np.int64)
    single = kind == "graph" and set(dag.counts) <= {1}
    if single and len(labels) != size and size > len(names):
        return _by_item(item, size)
    if len(labels) != size:
        places = {str(name): number for number, name in enumerate(names)}
        found = [places.get(str(n).removesuffix(_EACH), -1) for n in dag.names]
        labels = np.array(found, np.int64)
    known = np.flatnonzero(labels >= 0)
    values, first, count = np.unique(
        labels[known], return_index=True, return_counts=True
    )
    if single and (count > 1).any():
        return _by_item(item, size)
    # A label that several nodes have says nothing.
    values, first = values[count == 1], first[count == 1]
    if not len(values):
        return np.full(len(label), -1)
    at = np.minimum(np.searchsorted(values, label), len(values) - 1)
    return np.where(values[at] == label, known[first[at]], -1)


def _by_item(item: np.ndarray, size: int) -> np.ndarray:
    return np.where((item >= 0) & (item < size), item, -1)

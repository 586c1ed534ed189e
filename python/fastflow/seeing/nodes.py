"""Which node of a graph a call belongs to."""

from __future__ import annotations

import numpy as np

from fastflow.seeing.trace import Dag

__all__ = ["node_of"]


def node_of(dag: Dag, kind: str, label: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Return the number of the node of each call; -1: none.

    Nodes have labels of their own in flows. Nodes of a graph may share them; there the
    item is the node.

    Parameters
    ----------
    kind : str
        Of the run that the graph is of.
    label, item : ndarray
        Of each call.
    """
    size = len(dag.names)
    labels = np.asarray(dag.labels, np.int64)
    if size and len(labels) == size and len(np.unique(labels)) == size:
        order = np.argsort(labels)
        at = np.minimum(np.searchsorted(labels[order], label), size - 1)
        return np.where(labels[order][at] == label, order[at], -1)
    if kind != "graph":
        return np.full(len(label), -1)
    return np.where((item >= 0) & (item < size), item, -1)

"""The critical path: what had to follow each other, however many workers there are.

Where a run has a graph, it is the longest path through it. Where not, it is the chain
of calls that led to the last one: a call follows another one if it was ready just when
that ended, and this can hardly be by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from fastflow.base.topology import sort_tasks
from fastflow.seeing.explain.spans import Spans
from fastflow.seeing.nodes import graph_runs, node_of
from fastflow.seeing.trace import Dag, Kind, Trace

__all__ = ["CriticalPath", "critical_path"]

#: So likely may it be that some call ends between an end and a ready time by chance.
_CHANCE = 0.05
#: From so many edges on a path is looked for that is found without a look at each.
_LARGE = 200_000


@dataclass(frozen=True)
class CriticalPath:
    """Names in order, with how many calls of the name follow each other."""

    length: float
    """ns"""
    steps: tuple[tuple[str, int], ...]
    from_graph: bool
    """Whether from a graph; otherwise from times."""

    @property
    def calls(self) -> int:
        """How many calls are on it."""
        return sum(count for _, count in self.steps)

    def __str__(self) -> str:
        shown = [name if n == 1 else f"{name} × {n:,}" for name, n in self.steps]
        if len(shown) > 7:
            shown = [*shown[:3], f"({len(shown) - 6:,} more)", *shown[-3:]]
        return " → ".join(shown)


def critical_path(trace: Trace, spans: Spans) -> CriticalPath:
    """Return the longest chain that is known of."""
    call = np.flatnonzero((spans.kind == Kind.CALL) & ~spans.cached)
    chain = _chain_of_times(spans, call)
    # The last call need not be the longest, and each is a chain.
    length = spans.end[call] - spans.start[call]
    best, nodes = float(length[chain].sum()), chain
    if len(call) and length.max() > best:
        best, nodes = float(length.max()), [int(np.argmax(length))]
    found = CriticalPath(best, _named(_names(trace, spans, call[nodes])), False)
    within = graph_runs(trace, spans.run[call])
    for number, run in enumerate(trace.runs):
        if run.dag is not None and len(run.dag.names):
            of_run = call[within == number]
            path = _longest_path(spans, of_run, run.dag, run.kind, trace.labels)
            if path is not None and (
                not found.from_graph or path.length > found.length
            ):
                found = path
    return found


def _names(trace: Trace, spans: Spans, calls: np.ndarray) -> list[str]:
    return [
        str(trace.labels[label]) if label >= 0 else "a call without a name"
        for label in spans.label[calls].tolist()
    ]


def _named(names: list[str]) -> tuple[tuple[str, int], ...]:
    """Put equal names that follow each other together."""
    return tuple((name, sum(1 for _ in same)) for name, same in groupby(names))


# --- without a graph ------------------------------------------------------------------


def _chain_of_times(spans: Spans, call: np.ndarray) -> list[int]:
    """Return positions in `call` of the chain that led to the last one, in order."""
    if not len(call):
        return []
    start, end, ready = spans.start[call], spans.end[call], spans.ready[call]
    by_end = np.argsort(end, kind="stable")
    before = np.searchsorted(end[by_end], ready, "right") - 1
    before[ready < 0] = -1
    leader = np.where(before >= 0, by_end[before], -1)
    gap = ready - end[leader]
    # Nothing else ran when it got ready, or it got ready in the moment of that end.
    alone = np.searchsorted(start, ready, "left") == before + 1
    near = gap * float(len(call)) <= _CHANCE * max(spans.wall, 1)
    leader[~alone & ~near] = -1
    return _walk(leader.tolist(), start.tolist(), int(by_end[-1]))


def _walk(leader: list[int], start: list[int], last: int) -> list[int]:
    """Follow the leaders back, as long as that leads to earlier calls."""
    chain = [last]
    while True:
        before = leader[chain[-1]]
        if before < 0 or start[before] >= start[chain[-1]]:
            break
        chain.append(before)
    chain.reverse()
    return chain


# --- with a graph ---------------------------------------------------------------------


def _longest_path(
    spans: Spans, call: np.ndarray, dag: Dag, kind: str, names: Sequence[str]
) -> CriticalPath | None:
    """Return the longest path through a graph; None if calls aren't of its nodes."""
    size = len(dag.names)
    node = node_of(dag, kind, names, spans.label[call], spans.item[call])
    call, node = call[node >= 0], node[node >= 0]
    edges = np.asarray(dag.edges, np.int64).reshape(-1, 2)
    edges = edges[((edges >= 0) & (edges < size)).all(axis=1)]
    if not len(call):
        return None
    weight = _weights(spans, call, node, size)
    if len(edges) > _LARGE:
        path = _waited_for(spans, call, node, edges, size)
    else:
        path = _heaviest(weight.tolist(), edges)
    if not path:
        return None
    steps = _named([str(dag.names[at]) for at in path if weight[at] > 0])
    return CriticalPath(float(weight[path].sum()), steps, True)


def _heaviest(weight: list[float], edges: np.ndarray) -> list[int]:
    """Return the nodes of the path with the largest sum, in order."""
    source, target = edges[:, 0].tolist(), edges[:, 1].tolist()
    structure = sort_tasks(len(weight), source, target)
    starts, items = structure.parents.starts, structure.parents.items
    longest = list(weight)
    leader = [-1] * len(weight)
    for at in structure.order:
        first, last = starts[at], starts[at + 1]
        if last > first:
            leader[at] = above = max(items[first:last], key=longest.__getitem__)
            longest[at] += longest[above]
    end = max(structure.order, key=longest.__getitem__, default=-1)
    path = []
    while end >= 0:
        path.append(end)
        end = leader[end]
    path.reverse()
    return path


def _waited_for(
    spans: Spans, call: np.ndarray, node: np.ndarray, edges: np.ndarray, size: int
) -> list[int]:
    """Return the nodes that were waited for: back from the last one to end.

    Each before it is that of its predecessors which ended last. It need not be the
    heaviest path, but takes no look at each edge by itself.
    """
    start, end = np.full(size, -1), np.full(size, -1)
    start[node[::-1]] = spans.start[call[::-1]]
    np.maximum.at(end, node, spans.end[call])
    order = np.argsort(edges[:, 1], kind="stable")
    source, target = edges[order, 0], edges[order, 1]
    first = np.flatnonzero(np.diff(target, prepend=-1))
    latest = np.maximum.reduceat(end[source], first)
    sizes = np.diff(first, append=len(target))
    at = np.flatnonzero(end[source] == np.repeat(latest, sizes))
    leader = np.full(size, -1)
    leader[target[at]] = source[at]
    return _walk(leader.tolist(), start.tolist(), int(np.argmax(end)))


def _weights(spans: Spans, call: np.ndarray, node: np.ndarray, size: int) -> np.ndarray:
    """Return how long each node takes at least: its longest item, with all attempts."""
    length = (spans.end[call] - spans.start[call]).astype(float)
    weight = np.zeros(size)
    if (spans.attempt[call] > 1).any():
        item = spans.item[call]
        order = np.lexsort((item, node))
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(node[order]) != 0) | (np.diff(item[order]) != 0)
        length, node = (
            np.add.reduceat(length[order], np.flatnonzero(new)),
            node[order][new],
        )
    np.maximum.at(weight, node, length)
    return weight

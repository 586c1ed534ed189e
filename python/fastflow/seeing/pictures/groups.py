"""Large graphs made small: nodes that are alike become one, with their count.

Tasks of the same name (but for a number at its end) that are equally deep and have
neighbours of the same kinds are alike. Whoever looks at a graph of 100,000 tasks wants
its shape: "load, then 1,000 × clean, then report". Time and memory are linear in nodes
and edges, but for sorting.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastflow.base.names import stem_of
from fastflow.base.topology import sort_tasks
from fastflow.errors import FlowError
from fastflow.seeing.trace import Dag

__all__ = ["MOST", "grouped", "levels_of", "tidy_edges"]

MOST = 50
"""Nodes that a picture shows one by one."""

_ROUNDS = 6
_MIX = np.uint64(0x9E3779B97F4A7C15)

Ints = np.ndarray[Any, np.dtype[np.int64]]


def tidy_edges(dag: Dag) -> Ints:
    """Return the edges, each once, without those from a node to itself."""
    edges = np.asarray(dag.edges, np.int64).reshape(-1, 2)
    edges = edges[edges[:, 0] != edges[:, 1]]
    return _distinct(edges, len(dag.names))


def _distinct(edges: Ints, count: int) -> Ints:
    if not len(edges):
        return edges
    keys = np.unique(edges[:, 0] * count + edges[:, 1])
    return np.stack((keys // count, keys % count), axis=1)


def levels_of(count: int, edges: Ints) -> Ints:
    """Return the longest way to each node, in edges.

    Raises
    ------
    FlowError
        If nodes wait for each other.
    """
    structure = sort_tasks(count, edges[:, 0].tolist(), edges[:, 1].tolist())
    if len(structure.order) < count:
        raise FlowError("nodes that wait for each other can't be drawn in layers")
    levels = [0] * count
    starts, items = structure.children.starts, structure.children.items
    for node in structure.order:
        level = levels[node] + 1
        for child in items[starts[node] : starts[node + 1]]:
            if levels[child] < level:
                levels[child] = level
    return np.array(levels, np.int64)


def grouped(dag: Dag, most: int = MOST) -> tuple[Dag, Ints]:
    """Return a graph of at most about `most` nodes, and which of them each is in.

    Nodes with names of their own stay apart up to twice as many.
    """
    edges = tidy_edges(dag)
    count = len(dag.names)
    if count <= most:
        return dag._replace(edges=edges), np.arange(count)
    bases = [stem_of(name) for name in dag.names]
    numbers: dict[str, int] = {}
    kinds = np.array([numbers.setdefault(base, len(numbers)) for base in bases])
    chain = _chains(count, edges, kinds)
    group = chain
    inner, size = _between(edges, chain)
    if size > most:
        firsts = np.zeros(size, np.int64)
        firsts[chain[::-1]] = np.arange(count)[::-1]
        group = _alike(kinds[firsts], inner, size, most)[chain]
    return _merged(dag, bases, edges, group), group


def _between(edges: Ints, group: Ints) -> tuple[Ints, int]:
    """Return the edges between groups, and how many groups there are."""
    size = int(group.max()) + 1
    ends = group[edges]
    return _distinct(ends[ends[:, 0] != ends[:, 1]], size), size


def _chains(count: int, edges: Ints, kinds: Ints) -> Ints:
    """Make one of nodes of a kind that only follow each other."""
    before, after = edges[:, 0], edges[:, 1]
    outs, ins = (
        np.bincount(before, minlength=count),
        np.bincount(after, minlength=count),
    )
    only = (outs[before] == 1) & (ins[after] == 1) & (kinds[before] == kinds[after])
    head = np.arange(count)
    head[after[only]] = before[only]
    while True:  # each round doubles how far it looks
        further = head[head]
        if np.array_equal(further, head):
            break
        head = further
    return np.unique(head, return_inverse=True)[1].reshape(-1)


def _alike(kinds: Ints, edges: Ints, count: int, most: int) -> Ints:
    """Return the finest groups that are few enough.

    Begins with kind and level, and tells apart what has other neighbours, round by
    round. Within a level there are no edges, so groups never wait for each other.
    """
    levels = levels_of(count, edges)
    colours, found = _numbered(levels * (int(kinds.max()) + 1) + kinds)
    if found > most:
        return colours if found <= 2 * most else _bands(levels, most)
    for _ in range(_ROUNDS):
        above = _neighbourhood(edges[:, 1], edges[:, 0], colours, count, found)
        below = _neighbourhood(edges[:, 0], edges[:, 1], colours, count, found)
        mixed = _mix(_mix(colours.astype(np.uint64)) + above) + below
        finer, more = _numbered(mixed)
        if more > most or more == found:
            break
        colours, found = finer, more
    return colours


def _bands(levels: Ints, most: int) -> Ints:
    """Group by level alone; several levels together if there are too many."""
    depth = int(levels.max()) + 1
    return levels if depth <= most else levels * most // depth


def _numbered(keys: Any) -> tuple[Ints, int]:
    unique, inverse = np.unique(keys, return_inverse=True)
    return inverse.reshape(-1), len(unique)


def _mix(values: Any) -> Any:
    mixed = (values + np.uint64(1)) * _MIX
    mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)


def _neighbourhood(nodes: Ints, others: Ints, colours: Ints, count: int, n: int) -> Any:
    """Return for each node a hash of the set of its neighbours' colours."""
    total = np.zeros(count, np.uint64)
    pairs = np.unique(nodes * n + colours[others])
    if len(pairs):
        hashes = _mix((pairs % n).astype(np.uint64))
        owners = pairs // n
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        total[owners[first]] = np.add.reduceat(hashes, first)
    return total


def _merged(dag: Dag, bases: list[str], edges: Ints, group: Ints) -> Dag:
    inner, size = _between(edges, group)
    counts = np.ones(len(group), np.int64)
    if dag.counts:
        counts = np.array(dag.counts, np.int64)
    totals = np.zeros(size, np.int64)
    np.add.at(totals, group, counts)
    members: list[dict[str, None]] = [{} for _ in range(size)]
    several = (np.bincount(group, minlength=size) > 1).tolist()
    for at, base, name in zip(group.tolist(), bases, dag.names, strict=True):
        members[at].setdefault(base if several[at] else name)
    labels: tuple[int, ...] = ()
    if dag.labels:
        first = np.zeros(size, np.int64)
        first[group[::-1]] = np.array(dag.labels, np.int64)[::-1]
        labels = tuple(first.tolist())
    names = tuple(_name(found) for found in members)
    return Dag(names, inner, tuple(totals.tolist()), labels)


def _name(members: dict[str, None]) -> str:
    found = [name or "node" for name in members]
    if len(found) <= 2:
        return ", ".join(found)
    return f"{found[0]}, {found[1]} + {len(found) - 2:,} more"

"""Which tasks wait for which: neighbours, an order to run them in, cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from fastflow.errors import shortened

__all__ = ["Neighbours", "Structure", "cycle_text", "find_cycles", "sort_tasks"]

_MOST_CYCLES = 10
_LARGE = 50_000  # edges


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each task some others, in compressed rows: no object per task.

    Those of task i are ``items[starts[i]:starts[i + 1]]``, in the order of the edges.
    """

    starts: list[int]
    items: list[int]

    @classmethod
    def by(cls, count: int, keys: Sequence[int], values: Sequence[int]) -> Neighbours:
        """Group `values` by `keys`: a counting sort, which keeps the order."""
        if len(keys) >= _LARGE:
            return cls._by_numpy(count, keys, values)
        sizes = [0] * (count + 1)
        for key in keys:
            sizes[key + 1] += 1
        starts = list(accumulate(sizes))
        free = starts.copy()
        items = [0] * len(keys)
        for key, value in zip(keys, values, strict=True):
            at = free[key]
            items[at] = value
            free[key] = at + 1
        return cls(starts, items)

    @classmethod
    def _by_numpy(
        cls, count: int, keys: Sequence[int], values: Sequence[int]
    ) -> Neighbours:
        """Do the same; five times as fast, but numpy must be loaded."""
        import numpy as np

        numbers = np.asarray(keys, np.int64)
        starts = np.zeros(count + 1, np.int64)
        np.cumsum(np.bincount(numbers, minlength=count), out=starts[1:])
        order = np.argsort(numbers, kind="stable")
        return cls(starts.tolist(), np.asarray(values, np.int64)[order].tolist())

    def of(self, task: int) -> list[int]:
        """Return those of one task."""
        return self.items[self.starts[task] : self.starts[task + 1]]

    def sizes(self) -> list[int]:
        """Return how many each task has."""
        starts = self.starts
        return [end - start for start, end in pairwise(starts)]


@dataclass(frozen=True, slots=True)
class Structure:
    """Edges by task, and an order.

    Attributes
    ----------
    parents, children : Neighbours
        In the order of the edges.
    order : list of int
        Every task after its parents; shorter than the tasks if there are cycles.
    """

    parents: Neighbours
    children: Neighbours
    order: list[int]


def sort_tasks(count: int, sources: Sequence[int], targets: Sequence[int]) -> Structure:
    """Sort tasks topologically (Kahn, 1962): those that are ready first come first.

    Takes time and memory in proportion to tasks and edges.
    """
    parents = Neighbours.by(count, targets, sources)
    children = Neighbours.by(count, sources, targets)
    starts, items = children.starts, children.items
    missing = parents.sizes()
    order = [task for task in range(count) if not missing[task]]
    append = order.append
    for task in order:  # grows while it is read
        for child in items[starts[task] : starts[task + 1]]:
            left = missing[child] - 1
            missing[child] = left
            if not left:
                append(child)
    return Structure(parents, children, order)


def find_cycles(structure: Structure) -> list[list[int]]:
    """Return some cycles (at most ten, with no task in common).

    Each is a path along the edges that ends where it began.
    """
    count = len(structure.parents.starts) - 1
    left = set(range(count)).difference(structure.order)
    cycles: list[list[int]] = []
    while left and len(cycles) < _MOST_CYCLES:
        cycle = _walk(structure, left)
        cycles.append(cycle)
        left.difference_update(cycle)
        _trim(structure, left)
    return cycles


def _walk(structure: Structure, left: set[int]) -> list[int]:
    """Go from child to parent inside of `left` until a task comes again."""
    task = min(left)
    seen: dict[int, int] = {}
    path: list[int] = []
    while task not in seen:
        seen[task] = len(path)
        path.append(task)
        task = next(above for above in structure.parents.of(task) if above in left)
    cycle = path[seen[task] :]
    cycle.reverse()
    first = cycle.index(min(cycle))
    cycle = cycle[first:] + cycle[:first]
    return [*cycle, cycle[0]]


def _trim(structure: Structure, left: set[int]) -> None:
    """Take out of `left` what has no parent in it, again and again."""
    missing = {
        task: sum(above in left for above in structure.parents.of(task))
        for task in left
    }
    ready = [task for task, count in missing.items() if not count]
    for task in ready:  # grows while it is read
        left.discard(task)
        for child in structure.children.of(task):
            if child in left:
                missing[child] -= 1
                if not missing[child]:
                    ready.append(child)


def cycle_text(cycle: Sequence[str]) -> str:
    """Return a cycle as it is shown in an error."""
    if len(cycle) > 12:
        gap = f"... ({len(cycle) - 10:,} more) ..."
        cycle = [*cycle[:5], gap, *cycle[-5:]]
    return " -> ".join(shortened(name, 60) for name in cycle)

"""The syntax tree: what a text says, before anything is looked up or judged.

A flow of a million edges is a normal thing, so tasks and edges are columns of numbers
rather than objects.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FlowNode", "PropertyNode", "TaskNode"]


@dataclass(slots=True)
class PropertyNode:
    """``key: value`` in a block."""

    key: str
    value: Any
    line: int


@dataclass(slots=True)
class TaskNode:
    """A ``task name:`` block."""

    name: str
    line: int
    properties: dict[str, PropertyNode] = field(default_factory=dict)


@dataclass(slots=True)
class FlowNode:
    """A ``flow name:`` block.

    Attributes
    ----------
    ids : dict
        Task name -> number, in the order in which names are first seen.
    lines : array
        Line of each task's first mention, by number.
    sources, targets, edge_lines : array
        One entry per edge, without duplicates.
    known : set of int
        The edges, each as ``source << 32 | target``.
    each : dict
        Number of a task that is written ``name[*]`` -> numbers of the tasks to its left
        in such a chain (none if it only stands at the beginning of a chain).
    """

    name: str
    line: int
    description: PropertyNode | None = None
    tasks: dict[str, TaskNode] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    lines: array[int] = field(default_factory=lambda: array("i"))
    sources: array[int] = field(default_factory=lambda: array("i"))
    targets: array[int] = field(default_factory=lambda: array("i"))
    edge_lines: array[int] = field(default_factory=lambda: array("i"))
    each: dict[int, dict[int, None]] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)

    def mention(self, name: str, line: int) -> int:
        """Return the number of a task; a new one gets the next."""
        number = self.ids.get(name)
        if number is None:
            number = self.ids[name] = len(self.lines)
            self.lines.append(line)
        return number

    def connect(self, source: int, target: int, line: int) -> None:
        """Add an edge unless it is there."""
        key = source << 32 | target
        if key not in self.known:
            self.known.add(key)
            self.sources.append(source)
            self.targets.append(target)
            self.edge_lines.append(line)
